"""The client of ControlConfig."""

from kortex_api.autogen.client_stubs.client import client

ControlConfigClient = client("ControlConfig")
