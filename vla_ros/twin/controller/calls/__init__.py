"""The methods that the controller knows, one module for each of its services."""

from __future__ import annotations

from collections.abc import Mapping

from vla_ros.twin.controller.calls import actions, base, configuration, cyclic, devices, protection, session
from vla_ros.twin.controller.calls.call import Handler

CALLS: Mapping[str, Handler] = {
    **session.CALLS,
    **base.CALLS,
    **actions.CALLS,
    **protection.CALLS,
    **cyclic.CALLS,
    **configuration.CALLS,
    **devices.CALLS,
}
"""Every method by its name; the others are refused as unsupported."""
