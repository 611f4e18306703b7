"""A bundle with faked graphs, and the policy of it."""

from pathlib import Path

import pytest
from hypothesis import settings

from vla_ros.clock import VirtualClock
from vla_ros.policy.manifest import load_manifest
from vla_ros.policy.policy import BundlePolicy
from vla_ros.policy.words import WordTable

from .fake_bundle import CONFIG, FakeEngine, write_bundle

# a machine that is busy elsewhere is no failure
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A sound bundle for the twin."""
    return write_bundle(tmp_path / "fake")


@pytest.fixture
def policy(bundle: Path) -> BundlePolicy:
    """Its policy, told what to do."""
    manifest = load_manifest(bundle)
    words = WordTable(bundle / "tokenizer.json", bundle / "text.safetensors", manifest.words.length)
    policy = BundlePolicy(manifest, FakeEngine(), words, CONFIG, VirtualClock())
    policy.set_instruction("pick up the red cube")
    return policy
