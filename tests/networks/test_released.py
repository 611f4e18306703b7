"""Released checkpoints: the same numbers as their authors' code, and a word for every file that is wrong."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from vla_ros.networks.backbones.kosmos2 import Kosmos2Backbone, read_config  # noqa: E402
from vla_ros.networks.parity import check_parity  # noqa: E402
from vla_ros.networks.release_file import ReleaseError, read_checkpoint  # noqa: E402
from vla_ros.networks.released import load_release  # noqa: E402

FIXTURE = Path(__file__).parent / "kosmos_lstm_w8"
PARITY = Path(__file__).resolve().parents[3] / "shared/parity"


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(FIXTURE, tmp_path / "release"))


def change(folder, **values):
    settings = json.loads((folder / "config.json").read_text())
    settings["act_head"] |= values.pop("act_head", {})
    (folder / "config.json").write_text(json.dumps(settings | values))


def rewrite(folder, edit):
    content = torch.load(folder / "checkpoint.pt", weights_only=True)
    edit(content["state_dict"])
    torch.save(content, folder / "checkpoint.pt")


def load(folder):
    return load_release(folder / "checkpoint.pt", folder / "config.json", folder / "kosmos-2")


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_checkpoint_computes_what_it_computed_for_its_authors(attention):
    found = {comparison.name: comparison for comparison in check_parity(FIXTURE, attention)}
    assert [name for name, comparison in found.items() if not comparison.agrees] == []
    assert set(found) >= {"feature", "arm", "gripper_logit", "cameras swapped", "word changed"}


@pytest.mark.parametrize("name", ["kosmos_fc_w1", "kosmos_lstm_w8"])
def test_all_recorded_checkpoints(name):
    if not (PARITY / name).is_dir():
        pytest.skip("the recorded tensors of the reference are not on this machine")
    assert all(comparison.agrees for comparison in check_parity(PARITY / name))


@torch.no_grad()
def test_eager_and_sdpa_see_the_same_picture():
    """transformers 4.52 to 5.22 do not, without our guard."""
    torch.manual_seed(0)
    eager = Kosmos2Backbone(read_config(FIXTURE / "kosmos-2"), "eager").eval()
    sdpa = Kosmos2Backbone(read_config(FIXTURE / "kosmos-2"), "sdpa").eval()
    for parameter in eager.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    sdpa.load_state_dict(eager.state_dict())
    pixels = torch.randn(1, 2, 3, 224, 224)
    torch.testing.assert_close(eager.look(pixels), sdpa.look(pixels), atol=1e-4, rtol=1e-3)


@torch.no_grad()
def test_a_local_folder_of_weights_is_where_training_begins(tmp_path):
    from transformers import Kosmos2ForConditionalGeneration

    torch.manual_seed(1)
    theirs = Kosmos2ForConditionalGeneration(read_config(FIXTURE / "kosmos-2")).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    theirs.save_pretrained(tmp_path)
    ours = Kosmos2Backbone.from_folder(tmp_path).eval()
    wanted = dict(theirs.named_parameters())
    for name, parameter in ours.backbone.named_parameters():
        torch.testing.assert_close(parameter, wanted.get(name, wanted.get(f"model.{name}")))
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(OSError, match=r"model\.safetensors"):
        Kosmos2Backbone.from_folder(tmp_path)


def test_a_parity_that_is_lost_is_seen(folder):
    rewrite(folder, lambda weights: weights["model.act_head.rnn.bias_hh_l3"].add_(0.05))
    wrong = [comparison.name for comparison in check_parity(folder) if not comparison.agrees]
    assert "arm" in wrong
    assert "feature" not in wrong


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"act_head": {"type": "GPTDecoder"}}, r"says a gpt head.*lacks act_head\.gpt"),
        ({"act_head": {"type": "DiffusionDecoder"}}, "act_head.type is 'DiffusionDecoder': known are"),
        ({"act_head": {"hidden_size": 32}}, r"act_head\.actions\.mlp\.0\.weight is \(1024, 64\).*\(1024, 32\)"),
        ({"act_head": {"latent": 2}}, "act_head.latent is 2"),
        ({"fwd_pred_next_n": 5}, r"mlp\.6\.(weight|bias) is \(60"),
        ({"model": "paligemma"}, "only kosmos"),
        ({"window_size": "eight"}, "window_size is 'eight'.*int"),
        ({"window_size": 0}, "window_size is 0: it must be a whole number from 1 on"),
        ({"act_head": {"hidden_size": True}}, "hidden_size is True"),
        ({"norm_action": False}, "norm_action is False: only True"),
        ({"regular_action": True}, "regular_action is True: only False"),
        ({"use_mu_law": True}, "use_mu_law is True: only False"),
    ],
)
def test_a_configuration_that_is_not_the_checkpoints(folder, settings, told):
    change(folder, **settings)
    with pytest.raises(ReleaseError, match=told):
        load(folder)


def test_settings_that_were_saved_with_the_weights_must_be_those_of_the_configuration(folder):
    """An LSTM has the same weights whatever its window: only what Lightning saved beside them can tell."""
    content = torch.load(folder / "checkpoint.pt", weights_only=True)
    saved = json.loads((folder / "config.json").read_text())
    torch.save(content | {"hyper_parameters": {"configs": saved}}, folder / "checkpoint.pt")
    assert load(folder)[1].window == 8
    change(folder, window_size=16)
    with pytest.raises(ReleaseError, match=r"window_size is 16, and .* was trained with 8 .*Name the configuration"):
        load(folder)
    change(folder, window_size=8, norm_max=1.0)
    with pytest.raises(ReleaseError, match=r"norm_max is 1\.0, and .* was trained with 0\.65"):
        load(folder)
    change(folder, norm_max=0.65, act_head={"type": "GPTDecoder"})
    with pytest.raises(ReleaseError, match=r"act_head\.type is 'GPTDecoder', and .* was trained with 'LSTMDecoder'"):
        load(folder)


def test_a_gpt_of_another_window(folder):
    def be_gpt(weights):
        for key in [k for k in weights if ".rnn." in k]:
            del weights[key]
        made = build(window=4)
        weights |= {f"model.act_head.{k}": v for k, v in made.state_dict().items() if k.startswith("gpt.")}
        weights["model.act_head.gpt.h.0.attn.masked_bias"] = torch.tensor(-1e4)

    def build(window):
        from vla_ros.networks.heads.family import HeadConfig, build_head

        return build_head(HeadConfig(kind="gpt", width=64, hidden=64, window=window))

    rewrite(folder, be_gpt)
    change(folder, act_head={"type": "GPTDecoder"}, window_size=4)
    assert load(folder)[0].head.config.window == 4
    change(folder, window_size=8)
    with pytest.raises(ReleaseError, match=r"gpt\.wpe\.weight is \(4, 64\).*\(8, 64\)"):
        load(folder)


def test_weights_that_are_missing_left_over_or_not_finite(folder):
    rewrite(folder, lambda weights: weights.pop("model.backbone.image_to_text_projection.latent_query"))
    with pytest.raises(ReleaseError, match=r"lacks backbone\.image_to_text_projection\.latent_query"):
        load(folder)
    shutil.copy(FIXTURE / "checkpoint.pt", folder)
    rewrite(folder, lambda weights: weights.update({"model.embed_arm_state.weight": torch.zeros(2, 6)}))
    with pytest.raises(ReleaseError, match=r"has, beyond that, embed_arm_state\.weight"):
        load(folder)
    shutil.copy(FIXTURE / "checkpoint.pt", folder)
    rewrite(folder, lambda weights: weights["model.action_token"].fill_(float("nan")))
    with pytest.raises(ReleaseError, match="action_token is not finite"):
        load(folder)


class Code:
    def __reduce__(self):
        return (print, ("this must not run",))


def test_code_in_a_file_is_not_run(tmp_path, capsys):
    torch.save({"state_dict": {}, "callbacks": Code()}, tmp_path / "zip.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"state_dict": Code()}))
    for name, told in (("zip.pt", r"more than tensors, \S*print among it"), ("plain.pt", "no file of tensors")):
        with pytest.raises(
            ReleaseError, match=rf"{told}, and code in a file is never run here.*save its tensors alone"
        ):
            read_checkpoint(tmp_path / name)
    assert "must not run" not in capsys.readouterr().out


def test_a_file_that_is_not_whole(tmp_path):
    (tmp_path / "half.pt").write_bytes((FIXTURE / "checkpoint.pt").read_bytes()[:100_000])
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "text.pt").write_text("version https://git-lfs.github.com/spec/v1")
    for name in ("half.pt", "empty.pt", "text.pt"):
        with pytest.raises(ReleaseError, match="opy it again"):
            read_checkpoint(tmp_path / name)
    with pytest.raises(ReleaseError, match="not there"):
        read_checkpoint(tmp_path / "none.pt")
    torch.save({"state_dict": {"model.action_token": 3}}, tmp_path / "odd.pt")
    with pytest.raises(ReleaseError, match=r"model\.action_token in its state_dict is a int, no tensor"):
        read_checkpoint(tmp_path / "odd.pt")
    torch.save({"weights": {}}, tmp_path / "other.pt")
    with pytest.raises(ReleaseError, match="no state_dict"):
        read_checkpoint(tmp_path / "other.pt")


def test_a_folder_without_the_backbone_or_the_tensors(folder, tmp_path):
    (folder / "kosmos-2/config.json").rename(tmp_path / "away.json")
    with pytest.raises(ReleaseError, match=r"no config\.json of KosMos-2"):
        load(folder)
    (folder / "kosmos-2/config.json").write_text('{"text_config": {"embed_dim": "wide"}}')
    with pytest.raises(ReleaseError, match=r"no config\.json of KosMos-2"):
        load(folder)
    (tmp_path / "away.json").rename(folder / "kosmos-2/config.json")
    expected = dict(np.load(folder / "expected.npz"))
    del expected["arm"]
    np.savez(folder / "expected.npz", **expected)
    with pytest.raises(ReleaseError, match="lacks arm"):
        check_parity(folder)
