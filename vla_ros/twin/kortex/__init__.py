"""The Kortex wire, by which a client drives a Gen3: frames, messages and numbers, without the vendor's SDK.

| module | what is in it |
|---|---|
| codes | numbers that have names: services, errors, states, modes, faults |
| messages | the messages and methods that a driver uses, as protobuf classes |
| wire | frames in datagrams and in a TCP stream |

On the wire angles are degrees and angular velocities degrees per second; nothing here converts.
"""
