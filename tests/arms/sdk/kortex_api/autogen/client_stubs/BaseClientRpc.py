"""The client of Base."""

from kortex_api.autogen.client_stubs.client import client

BaseClient = client("Base")
