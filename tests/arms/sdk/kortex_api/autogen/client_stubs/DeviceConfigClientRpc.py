"""The client of DeviceConfig."""

from kortex_api.autogen.client_stubs.client import client

DeviceConfigClient = client("DeviceConfig")
