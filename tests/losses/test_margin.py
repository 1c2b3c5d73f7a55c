import numpy as np
import pytest
import torch

from skdam import AUCMarginLoss
from skdam._targets import Targets

PRIORS = {"v1": {"prior": 0.25}, "v2": {}}


def set_dual(loss, a, b, alpha):
    with torch.no_grad():
        loss.a.fill_(a)
        loss.b.fill_(b)
        loss.alpha.fill_(alpha)
    return loss


def formula(logits, targets, a, b, alpha, margin):
    """The prior-free loss, written out in NumPy."""
    scores = 1 / (1 + np.exp(-logits.numpy()))
    positive, negative = scores[targets == 1], scores[targets == 0]
    return (
        ((positive - a) ** 2).mean()
        + ((negative - b) ** 2).mean()
        + 2 * alpha * (margin + negative.mean() - positive.mean())
        - alpha**2
    )


@pytest.mark.parametrize("margin", [0.5, 1.0])
def test_v2_is_the_formula(logits_and_targets, margin):
    logits, targets = logits_and_targets
    loss = set_dual(AUCMarginLoss(margin).double(), 0.7, 0.2, 0.4)
    expected = formula(logits, targets, 0.7, 0.2, 0.4, margin)
    assert loss(logits, targets).item() == pytest.approx(expected, abs=1e-12)


def test_v1_is_v2_times_p_one_minus_p(logits_and_targets):
    logits, targets = logits_and_targets
    loss = set_dual(AUCMarginLoss(version="v1").double(), 0.7, 0.2, 0.4)
    expected = 0.25 * 0.75 * formula(logits, targets, 0.7, 0.2, 0.4, 1.0)
    assert loss(logits, targets).item() == pytest.approx(expected, abs=1e-12)


def test_v1_with_a_prior_averages_batches_of_any_mix_without_bias(logits_and_targets):
    """Mean over the examples of a data set = mean over its batches of any sizes."""
    logits, targets = logits_and_targets
    order = torch.argsort(targets)  # batches of one class and of a mix
    loss = set_dual(AUCMarginLoss(version="v1", prior=0.25).double(), 0.7, 0.2, 0.4)
    batches = [loss(logits[part], targets[part]).item() for part in order.split(16)]
    assert np.mean(batches) == pytest.approx(loss(logits, targets).item(), abs=1e-12)


def test_value_at_the_saddle_point_is_the_closed_form(logits_and_targets):
    logits, targets = logits_and_targets
    scores = torch.sigmoid(logits).numpy()
    positive, negative = scores[targets == 1], scores[targets == 0]
    a, b = positive.mean(), negative.mean()
    alpha = max(0, 1 + b - a)
    loss = set_dual(AUCMarginLoss().double(), a, b, alpha)
    expected = positive.var() + negative.var() + alpha**2
    assert loss(logits, targets).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_members_are_independent(logits_and_targets, version):
    logits, targets = logits_and_targets
    columns = torch.stack([logits, -logits, 2 * logits], dim=1).requires_grad_()
    together = AUCMarginLoss(version=version, n_members=3).double()
    with torch.no_grad():
        together.a.copy_(torch.tensor([0.1, 0.2, 0.3]))
        together.alpha.copy_(torch.tensor([0.5, 0.6, 0.7]))
    value = together(columns, targets)
    value.backward()
    total = 0.0
    for k in range(3):
        alone = AUCMarginLoss(version=version).double()
        set_dual(alone, together.a[k].item(), 0.0, together.alpha[k].item())
        column = columns[:, k].detach().requires_grad_()
        loss = alone(column, targets)
        loss.backward()
        total += loss.item()
        torch.testing.assert_close(columns.grad[:, k], column.grad)
        torch.testing.assert_close(together.a.grad[k], alone.a.grad)
    assert value.item() == pytest.approx(total)


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32])
@pytest.mark.parametrize("column", [False, True])
def test_targets_of_any_dtype_and_column_vectors(logits_and_targets, dtype, column):
    logits, targets = logits_and_targets
    expected = AUCMarginLoss().double()(logits, targets)
    targets = targets.to(dtype)
    if column:
        logits, targets = logits.unsqueeze(1), targets.unsqueeze(1)
    assert AUCMarginLoss().double()(logits, targets) == expected


@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        ((4, 2), (4,), r"logits must have shape \(batch,\), got \(4, 2\)"),
        ((), (4,), r"logits must have shape"),
        ((4,), (3,), r"targets must have shape \(4,\)"),
        ((4,), (4, 2), r"targets must have shape \(4,\)"),
    ],
)
def test_shapes_are_checked(logits, targets, message):
    with pytest.raises(ValueError, match=message):
        AUCMarginLoss()(torch.zeros(logits), torch.zeros(targets))


@pytest.mark.parametrize("parameters", [{}, {"version": "v1"}, {"version": "v1", "prior": 0.3}])
@pytest.mark.parametrize("n_members", [None, 3])
def test_gradients_of_the_margin_loss_may_be_differentiated(parameters, n_members):
    generator = torch.Generator().manual_seed(0)
    shape = (8,) if n_members is None else (8, n_members)
    logits = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    loss = set_dual(AUCMarginLoss(0.7, n_members=n_members, **parameters).double(), 0.6, 0.3, 0.4)
    targets = torch.arange(8) % 3 == 0

    def of(logits, a, b):
        return torch.func.functional_call(loss, {"a": a, "b": b}, (logits, targets))

    inputs = (logits, loss.a.detach().requires_grad_(), loss.b.detach().requires_grad_())
    assert torch.autograd.gradcheck(of, inputs)
    assert torch.autograd.gradgradcheck(of, inputs)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_terms_of_an_absent_class_are_left_out(logits_and_targets, version):
    logits, targets = logits_and_targets
    logits, targets = logits[targets == 1], targets[targets == 1]
    loss = set_dual(AUCMarginLoss(version=version, **PRIORS[version]).double(), 0.7, 0.2, 0.4)
    scores = logits.sigmoid()
    weight, scale = (0.75, 0.1875) if version == "v1" else (1, 1)
    expected = weight * ((scores - 0.7) ** 2 - 2 * 0.4 * scores).mean()
    expected += scale * (2 * 0.4 - 0.4**2)
    torch.testing.assert_close(loss(logits, targets), expected)


def test_whatever_requires_a_gradient_gets_it(logits_and_targets):
    logits, targets = logits_and_targets
    logits = logits.detach().requires_grad_()
    loss = AUCMarginLoss().to(logits.dtype)
    loss.a.requires_grad_(False)
    loss.alpha.requires_grad_()
    loss(logits, targets).backward()
    assert logits.grad is not None
    assert loss.a.grad is None
    expected = 2 * (
        1 - logits.sigmoid()[targets > 0.5].mean() + logits.sigmoid()[targets < 0.5].mean()
    )
    torch.testing.assert_close(loss.alpha.grad, expected.detach())


# of torch itself, when it first differentiates forwards
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
def test_forward_differentiation(logits_and_targets):
    logits, targets = logits_and_targets
    logits = logits.detach().requires_grad_()
    loss = AUCMarginLoss().to(logits.dtype)
    (gradient,) = torch.autograd.grad(loss(logits, targets), logits)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(logits, torch.ones_like(logits))
        slope = torch.autograd.forward_ad.unpack_dual(loss(dual, targets)).tangent
    torch.testing.assert_close(slope, gradient.sum())


@pytest.mark.parametrize("n_members", [None, 3])
def test_autocast_does_not_reach_the_margin_loss(n_members):
    """The differences of a, b and alpha need all digits."""
    generator = torch.Generator().manual_seed(0)
    shape = (64,) if n_members is None else (64, n_members)
    logits = torch.randn(shape, generator=generator, requires_grad=True)
    targets = torch.arange(64) % 3 == 0
    loss = set_dual(AUCMarginLoss(n_members=n_members), 0.61803, 0.31831, 0.71828)
    expected = loss(logits, targets)
    (gradient,) = torch.autograd.grad(expected, logits)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(logits, targets)
    assert value == expected
    value.backward()
    torch.testing.assert_close(logits.grad, gradient)


def test_logits_of_more_digits_than_the_loss(logits_and_targets):
    logits, targets = logits_and_targets
    logits.requires_grad_()
    loss = set_dual(AUCMarginLoss(), 0.5, 0.25, 0.75)
    value = loss(logits, targets)
    value.backward()
    assert value.dtype == torch.float64
    assert logits.grad.dtype == torch.float64
    assert loss.a.grad.dtype == torch.float32
    expected = set_dual(AUCMarginLoss().double(), 0.5, 0.25, 0.75)(logits, targets)
    torch.testing.assert_close(value, expected)


def test_the_loss_works_on_tensors_without_data():
    loss = AUCMarginLoss().to("meta")
    assert loss(torch.zeros(4, device="meta"), torch.zeros(4, device="meta")).shape == ()


@pytest.mark.parametrize(("lr", "alpha"), [(0.1, 0.2 * 0.6), (0.5, 0.6), (3.0, 0.6)])
def test_ascent_goes_towards_the_maximum_and_never_past_it(lr, alpha):
    loss = set_dual(AUCMarginLoss(), 0.7, 0.3, 0.0)
    loss.ascend(lr)
    assert loss.alpha.item() == pytest.approx(alpha)


def test_ascent_stops_at_zero():
    loss = set_dual(AUCMarginLoss(0.1), 0.9, 0.1, 0.2)
    loss.ascend(0.5)
    assert loss.alpha == 0


def with_weights(targets, weights):
    return Targets.of(targets.clone(), weights)


@pytest.mark.parametrize("parameters", [{}, {"version": "v1"}, {"version": "v1", "prior": 0.3}])
def test_weights_count_as_repetitions(logits_and_targets, parameters):
    logits, targets = logits_and_targets
    times = 1 + torch.arange(64) % 3
    loss = set_dual(AUCMarginLoss(**parameters).double(), 0.7, 0.2, 0.4)
    repeated = loss(logits.repeat_interleave(times), targets.repeat_interleave(times))
    for scale in (1.0, 1e-6, 1e6):
        weighted = loss(logits, with_weights(targets, times.double() * scale))
        torch.testing.assert_close(weighted, repeated)


@pytest.mark.parametrize("parameters", [{}, {"version": "v1"}])
def test_each_member_may_have_weights_of_its_own(logits_and_targets, parameters):
    logits, targets = logits_and_targets
    columns = torch.stack([logits, -logits], 1).requires_grad_()
    weights = torch.stack([1.0 + torch.arange(64) % 3, torch.arange(64) % 2 * 1.0], 1).double()
    together = set_dual(AUCMarginLoss(n_members=2, **parameters).double(), 0.7, 0.2, 0.4)
    alone = set_dual(AUCMarginLoss(**parameters).double(), 0.7, 0.2, 0.4)
    value = together(columns, with_weights(targets, weights))
    value.backward()
    expected = 0.0
    for k in range(2):
        column = columns[:, k].detach().requires_grad_()
        loss = alone(column, with_weights(targets, weights[:, k]))
        loss.backward()
        expected += loss.item()
        torch.testing.assert_close(columns.grad[:, k], column.grad)
    assert value.item() == pytest.approx(expected)


def test_a_class_without_weight_is_absent(logits_and_targets):
    logits, targets = logits_and_targets
    logits = logits.clone().requires_grad_()
    loss = set_dual(AUCMarginLoss().double(), 0.7, 0.2, 0.4)
    value = loss(logits, with_weights(targets, 1 - targets))
    value.backward()
    expected = loss(logits[targets == 0], targets[targets == 0])
    torch.testing.assert_close(value, expected)
    assert torch.isfinite(logits.grad).all()
    assert not logits.grad[targets == 1].any()


def test_logits_of_fewer_digits_than_the_loss(logits_and_targets):
    logits, targets = logits_and_targets
    loss = set_dual(AUCMarginLoss().double(), 0.5, 0.25, 0.75)
    value = loss(logits.float(), targets.float())
    assert value.dtype == torch.float64
    torch.testing.assert_close(value, loss(logits, targets), rtol=1e-6, atol=1e-6)
