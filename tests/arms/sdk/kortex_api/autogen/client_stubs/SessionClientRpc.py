"""The client of Session."""

from kortex_api.autogen.client_stubs.client import client

SessionClient = client("Session")
