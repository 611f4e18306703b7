"""The cost of a step: counted from the configuration as torch counts it in the network itself."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from vla_ros.networks.backbones.kosmos2_graph import Kosmos2Graph, tail  # noqa: E402
from vla_ros.networks.cost import Ceiling, Product, encode_products, floor, flops, lstm_products, weights  # noqa: E402
from vla_ros.networks.release_export import DecideGraph  # noqa: E402
from vla_ros.networks.speed.models import SIZES, random_family  # noqa: E402


@pytest.fixture(scope="module")
def network():
    return random_family("tiny", 5)


@pytest.mark.parametrize(("cameras", "length"), [(1, 9), (2, 31)])
def test_encode_costs_what_torch_counts(network, cameras, length):
    graph = Kosmos2Graph(network.eye, cameras).eval()
    rows, end = tail(network.eye, torch.tensor([5, 6, 7]), cameras, length)
    images = [torch.zeros(1, 224, 224, 3, dtype=torch.uint8)] * cameras
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        graph(*images, rows, end)
    products = encode_products(network.eye.backbone.config, cameras, length)
    assert sum(product.flops for product in products) == counter.get_total_flops()


def test_decide_costs_what_torch_counts(network):
    head = network.head.config
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        DecideGraph(network.head)(torch.zeros(1, head.width), *network.head.fresh())
    products = lstm_products(head.width, head.hidden, head.window, head.chunk)
    assert sum(product.flops for product in products) == counter.get_total_flops()


def test_the_weights_are_those_of_the_network(network):
    head = network.head.config
    matrices = [p for name, p in network.head.named_parameters() if p.dim() > 1]
    products = lstm_products(head.width, head.hidden, head.window, head.chunk)
    assert weights(products) == sum(p.numel() for p in matrices)


def test_the_published_size_on_an_h200():
    """670 GFLOP and about 1.03 ms at 790 TFLOP/s and 4.3 TB/s were counted by hand, with two projections folded into one."""
    products = encode_products(SIZES["full"].config(), 2, 16)
    assert flops(products) == pytest.approx(671e9, rel=0.02)
    assert floor(products, Ceiling(790e12, 4.3e12), 2.0).serial == pytest.approx(1.03, rel=0.03)


def test_a_floor_is_what_computing_or_memory_takes():
    computing, reading = Product("a", 1000, 100, 100), Product("b", 1, 1000, 1000)
    found = floor([computing, reading], Ceiling(2e9, 1e9), 4.0, 0.0)
    assert found.serial == pytest.approx(
        10.0 + 4.0
    )  # 2·10⁷ operations at 2·10⁹; 4·10⁶ bytes at 10⁹, rather than 1 ms of computing
    assert found.overlapped == pytest.approx(11.0)
    masked = Product("c", 10, 10, 10, weight=False, needed=0.5)
    assert flops([masked]) == 1000
    assert masked.bytes(4.0, 4.0) == 0.0
