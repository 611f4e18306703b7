"""The client of BaseCyclic."""

from kortex_api.autogen.client_stubs.client import client

BaseCyclicClient = client("BaseCyclic")
