"""A released checkpoint becomes a bundle that the service runs, and computes what its authors' code does."""

import json

import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.networks.releases import FIXTURE, make_tokenizer, write_release  # noqa: E402
from tests.networks.serving import CONFIG, SAID, parts  # noqa: E402
from vla_ros.networks.backbones.kosmos2 import PROMPT  # noqa: E402
from vla_ros.networks.backbones.kosmos2_graph import Kosmos2Graph, tail  # noqa: E402
from vla_ros.networks.release_export import import_release  # noqa: E402
from vla_ros.networks.release_facts import TEMPLATE  # noqa: E402
from vla_ros.networks.release_file import ReleaseError  # noqa: E402
from vla_ros.networks.released import load_release  # noqa: E402
from vla_ros.networks.verify import VerificationError  # noqa: E402
from vla_ros.policy.manifest import BundleError, load_manifest  # noqa: E402
from vla_ros.policy.policy import load_policy  # noqa: E402
from vla_ros.policy.tail import TailTable  # noqa: E402
from vla_ros.policy.words import InstructionError  # noqa: E402


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return write_release(tmp_path_factory.mktemp("released") / "lab")


@pytest.fixture(scope="module")
def bundle(release):
    import_release(*parts(release), release / "facts.yaml", release / "bundle")
    return release / "bundle"


@pytest.fixture
def fresh(tmp_path):
    return write_release(tmp_path / "lab")


def test_the_manifest_says_what_it_is(bundle):
    manifest = load_manifest(bundle)
    assert manifest.history.window == 8
    assert manifest.chunk.length == 10
    assert [stage.kind for stage in manifest.action.stages.stages] == ["range", "gripper"]
    assert manifest.robot_state == ()
    assert manifest.verification["torch_onnxruntime_difference"] <= 1e-4
    assert set(manifest.verification["depends_on"]) == {"static", "wrist", "text"}
    assert manifest.training["head"] == "lstm"


@pytest.mark.parametrize(("precision", "most"), [("fp16", 5e-3), ("bf16", 5e-2)])
def test_lower_precision_stays_near(release, precision, most, tmp_path):
    manifest = import_release(*parts(release), release / "facts.yaml", tmp_path / precision, precision)
    differences = [v for k, v in manifest.verification.items() if k.endswith("_difference")]
    assert len(differences) == 1
    assert 0 < differences[0] <= most
    assert manifest.graphs["encode"].precision == precision


def test_lower_precision_is_a_copy_whose_norms_keep_every_digit():
    network, _ = load_release(*parts(FIXTURE))
    for number, parameter in enumerate(network.eye.parameters()):
        torch.nn.init.normal_(parameter, 1.0, 0.1, generator=torch.Generator().manual_seed(number))
    graph = Kosmos2Graph(network.eye, 2).eval()
    low = graph.in_precision(torch.bfloat16)
    for norm in ("layer_norm", "layers.0.self_attn_layer_norm", "layers.1.final_layer_norm"):
        assert torch.equal(low.text.get_submodule(norm).weight, graph.text.get_submodule(norm).weight)
    assert {p.dtype for p in graph.parameters()} == {torch.float32}
    assert low.text.layers[0].ffn.fc1.weight.dtype == low.vision.post_layernorm.weight.dtype == torch.bfloat16


@torch.no_grad()
def test_one_graph_serves_every_length():
    network, _ = load_release(*parts(FIXTURE))
    graph = Kosmos2Graph(network.eye, 2).eval()
    images = [torch.randint(0, 256, (1, 224, 224, 3), dtype=torch.uint8) for _ in range(2)]
    pixels = [(image.permute(0, 3, 1, 2) - graph.mean) * graph.scale for image in images]
    for count, length in ((1, 8), (7, 8), (7, 31), (20, 31)):
        words = torch.randint(5, 300, (count,))
        wanted = network.eye(pixels, torch.cat([torch.tensor([0]), words])[None])
        feature = graph(*images, *tail(network.eye, words, 2, length))
        torch.testing.assert_close(feature, wanted, atol=1e-4 * float(wanted.abs().max()), rtol=0)
    with pytest.raises(ValueError, match="do not fit into a tail of 8"):
        tail(network.eye, torch.zeros(8, dtype=torch.int64), 2, 8)


def test_the_hosts_tail_is_the_networks(bundle, release):
    network, _ = load_release(*parts(release))
    table = TailTable(bundle / "tokenizer.json", bundle / "text.safetensors", PROMPT, 40)
    given = table.text(f"  {SAID} ")
    wanted, end = tail(network.eye, torch.tensor(table.pieces(SAID)), 2, 40)
    np.testing.assert_allclose(given.rows, wanted.numpy(), atol=1e-6)
    assert given.end.tolist() == end.tolist()


def test_a_text_longer_than_the_tail_is_refused(bundle):
    policy = load_policy(str(bundle), CONFIG)
    with pytest.raises(InstructionError, match=r"at most 39, prompt included.*larger text_length"):
        policy.set_instruction(" ".join(["pick up the red cube"] * 9))


def test_without_the_facts_it_says_which_are_wanted(fresh):
    with pytest.raises(ReleaseError, match="--facts:\n\n# What the checkpoint does not say"):
        import_release(*parts(fresh), None, fresh / "bundle")
    assert not (fresh / "bundle").exists()


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda f: f.pop("stride_ms"), "stride_ms: Field required"),
        (lambda f: f["action"].update(frame="wrist"), "action.frame"),
        (lambda f: f["cameras"].pop(), "1 cameras; the configuration's use_hand_rgb says 2"),
        (lambda f: f.update(execute=11), "execute is 11, a chunk of this policy has 10"),
        (lambda f: f.update(speed=3), "speed: Extra inputs"),
        (lambda f: f["cameras"][1].update(name="static"), "two of them are called static"),
        (lambda f: f["cameras"][1].update(roi=[0, 0, 641, 480]), r"roi \[0, 0, 641, 480\].* is not within the sensor"),
        (lambda f: f.update(text_length=500), "text_length is 500: behind the images the backbone has places for 383"),
    ],
)
def test_facts_that_do_not_fit(fresh, edit, told):
    facts = yaml.safe_load(TEMPLATE)
    edit(facts)
    (fresh / "facts.yaml").write_text(yaml.safe_dump(facts))
    with pytest.raises(ReleaseError, match=told):
        import_release(*parts(fresh), fresh / "facts.yaml", fresh / "bundle")
    assert not (fresh / "bundle").exists()


@pytest.mark.parametrize(
    ("colours", "told"),
    [({"image_mean": [0.5, 0.5]}, r"image_mean is \[0\.5, 0\.5\]"), ({"image_std": [1, 0, 1]}, "cannot be divided")],
)
def test_colours_that_are_none(fresh, colours, told):
    settings = json.loads((fresh / "config.json").read_text())
    (fresh / "config.json").write_text(json.dumps(settings | colours))
    with pytest.raises(ReleaseError, match=told):
        import_release(*parts(fresh), fresh / "facts.yaml", fresh / "bundle")


def test_a_frame_that_the_configuration_contradicts(fresh):
    settings = json.loads((fresh / "config.json").read_text())
    (fresh / "config.json").write_text(json.dumps(settings | {"tcp_rel": True}))
    with pytest.raises(ReleaseError, match=r"action\.frame is base; the configuration's tcp_rel says tool"):
        import_release(*parts(fresh), fresh / "facts.yaml", fresh / "bundle")


def test_another_tokenizer_is_refused(fresh):
    make_tokenizer(start="[CLS]").save(str(fresh / "kosmos-2/tokenizer.json"))
    with pytest.raises(ReleaseError, match="<s> is piece None, the backbone's is 0: another tokenizer"):
        import_release(*parts(fresh), fresh / "facts.yaml", fresh / "bundle")
    (fresh / "kosmos-2/tokenizer.json").write_text("a page that was saved in its place")
    with pytest.raises(ReleaseError, match=r"tokenizer\.json is no tokenizer .*Copy that of"):
        import_release(*parts(fresh), fresh / "facts.yaml", fresh / "bundle")
    (fresh / "kosmos-2/tokenizer.json").unlink()
    with pytest.raises(ReleaseError, match=r"tokenizer\.json is not there"):
        import_release(*parts(fresh), fresh / "facts.yaml", fresh / "bundle")


def test_a_policy_blind_to_the_picture_does_not_become_a_bundle(fresh):
    content = torch.load(fresh / "checkpoint.pt", weights_only=True)
    content["state_dict"]["model.backbone.image_to_text_projection.dense.weight"].zero_()
    torch.save(content, fresh / "checkpoint.pt")
    with pytest.raises(VerificationError, match="ignores its input static"):
        import_release(*parts(fresh), fresh / "facts.yaml", fresh / "bundle")
    assert not (fresh / "bundle/manifest.yaml").exists()


def test_another_action_range_reaches_the_manifest(fresh):
    settings = json.loads((fresh / "config.json").read_text())
    (fresh / "config.json").write_text(json.dumps(settings | {"norm_min": -1, "norm_max": 1}))
    manifest = import_release(*parts(fresh), fresh / "facts.yaml", fresh / "bundle")
    assert manifest.action.stages.stages[0].low == (-1.0,) * 6


def test_weights_too_large_for_one_file_lie_beside_it(release, tmp_path, monkeypatch):
    monkeypatch.setattr("vla_ros.networks.graphs.LARGE", 100_000)
    manifest = import_release(*parts(release), release / "facts.yaml", tmp_path / "large")
    assert set(manifest.graphs["encode"].data) == {"encode.onnx.data"}
    assert load_policy(str(tmp_path / "large"), CONFIG)
    data = tmp_path / "large/encode.onnx.data"
    content = bytearray(data.read_bytes())
    content[5000] ^= 1
    data.write_bytes(content)
    with pytest.raises(BundleError, match=r"encode\.onnx\.data is not the file that the manifest was written for"):
        load_manifest(tmp_path / "large")


def test_an_import_that_fails_leaves_the_bundle_that_was_there(bundle, release, monkeypatch):
    from vla_ros.networks import release_export

    def disagrees(*given):
        raise VerificationError("they differ")

    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    monkeypatch.setattr(release_export, "verify", disagrees)
    with pytest.raises(VerificationError, match="they differ"):
        import_release(*parts(release), release / "facts.yaml", bundle)
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before
