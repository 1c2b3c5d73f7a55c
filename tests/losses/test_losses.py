import numpy as np
import pytest
import torch

from skdam import AUCMarginLoss, CompositionalAUCLoss

PRIORS = {"v1": {"prior": 0.25}, "v2": {}}


@pytest.fixture
def logits_and_targets():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(64, generator=generator, dtype=torch.float64)
    return logits, (torch.arange(64) % 4 == 0).double()


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
def test_gradients_agree_with_finite_differences(logits_and_targets, version):
    logits, targets = logits_and_targets
    loss = set_dual(AUCMarginLoss(version=version).double(), 0.6, 0.3, 0.5)

    def value(logits, a, b):
        parameters = {"a": a, "b": b}
        return torch.func.functional_call(loss, parameters, (logits, targets))

    inputs = (logits.clone().requires_grad_(), loss.a, loss.b)
    assert torch.autograd.gradcheck(value, inputs)


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


def test_inner_cross_entropy_is_that_of_torch(logits_and_targets):
    logits, targets = logits_and_targets
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)
    torch.testing.assert_close(CompositionalAUCLoss()(logits, targets, phase="inner"), expected)


def test_focal_weights_cross_entropy_by_the_doubt_squared(logits_and_targets):
    logits, targets = logits_and_targets
    p = torch.sigmoid(logits)
    p_true = torch.where(targets == 1, p, 1 - p)
    expected = (-((1 - p_true) ** 2) * p_true.log()).mean()
    loss = CompositionalAUCLoss(inner_loss="focal")
    torch.testing.assert_close(loss(logits, targets, phase="inner"), expected)


def test_focal_keeps_its_gradient_for_confident_examples():
    logits = torch.tensor([40.0, -40.0], requires_grad=True)
    CompositionalAUCLoss(inner_loss="focal")(logits, torch.tensor([0, 1]), "inner").backward()
    torch.testing.assert_close(logits.grad, torch.tensor([0.5, -0.5]))


def test_inner_loss_may_be_a_callable(logits_and_targets):
    logits, targets = logits_and_targets
    loss = CompositionalAUCLoss(inner_loss=lambda h, t: (h - t) ** 2)
    expected = ((logits - targets) ** 2).mean()
    torch.testing.assert_close(loss(logits, targets, phase="inner"), expected)


def test_inner_loss_must_be_per_example(logits_and_targets):
    loss = CompositionalAUCLoss(inner_loss=lambda h, t: (h - t).mean())
    with pytest.raises(ValueError, match=r"inner_loss must return.*\(64,\), got \(\)"):
        loss(*logits_and_targets, phase="inner")


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


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"margin": 0}, "margin"),
        ({"margin": float("nan")}, "margin"),
        ({"version": "v3"}, "version"),
        ({"prior": 0.2}, "prior"),
        ({"prior": 1.0, "version": "v1"}, "prior"),
        ({"n_members": 0}, "n_members"),
        ({"inner_loss": "hinge"}, "inner_loss"),
    ],
)
def test_arguments_are_checked(arguments, name):
    with pytest.raises(ValueError, match=name):
        CompositionalAUCLoss(**arguments)


def test_unknown_phase():
    with pytest.raises(ValueError, match="phase must be 'inner' or 'outer', got 'middle'"):
        CompositionalAUCLoss()(torch.zeros(2), torch.zeros(2), phase="middle")


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


@pytest.mark.parametrize("parameters", [{}, {"version": "v1"}, {"version": "v1", "prior": 0.3}])
@pytest.mark.parametrize("n_members", [None, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("positives", [0, 3, 8])
@pytest.mark.parametrize("phase", ["inner", "outer"])
def test_backward_is_that_of_autograd(parameters, n_members, dtype, positives, phase):
    generator = torch.Generator().manual_seed(0)
    shape = (8, n_members or 1)
    slow, fast = [], []
    for results in (slow, fast):
        generator.manual_seed(0)
        logits = torch.randn(shape, generator=generator, dtype=dtype, requires_grad=True)
        loss = CompositionalAUCLoss(0.7, n_members=n_members, **parameters).to(dtype)
        set_dual(loss, 0.6, 0.3, 0.4)
        targets = torch.arange(8) < positives
        for _ in range(2):  # gradients add up
            if results is slow:
                value = loss(2 * logits, targets, phase)
                value.backward()
            else:
                value = loss.backward(2 * logits, targets, phase)
        results += [value.detach(), logits.grad, loss.a.grad, loss.b.grad]
    assert not fast[0].requires_grad
    torch.testing.assert_close(fast, slow)


def test_backward_leaves_alone_what_requires_no_gradient(logits_and_targets):
    logits, targets = logits_and_targets
    loss = AUCMarginLoss().to(logits.dtype)
    loss.a.requires_grad_(False)
    expected = loss(logits, targets)
    expected.backward()
    gradient, loss.b.grad = loss.b.grad, None
    assert loss.backward(logits, targets) == expected
    assert loss.a.grad is None
    torch.testing.assert_close(loss.b.grad, gradient)


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


@pytest.mark.parametrize("parameters", [{}, {"version": "v1"}])
@pytest.mark.parametrize("n_members", [None, 3])
@pytest.mark.parametrize("phase", ["inner", "outer"])
def test_prepared_targets_stand_for_targets(parameters, n_members, phase):
    generator = torch.Generator().manual_seed(0)
    loss = CompositionalAUCLoss(n_members=n_members, **parameters)
    targets = (torch.arange(8) < 3).reshape(8, 1)
    prepared = loss.prepare(targets)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        logits = torch.randn(8, n_members or 1, generator=generator).to(dtype).requires_grad_()
        expected = loss(logits, targets, phase)
        assert loss(logits, prepared, phase) == expected
        assert loss.backward(logits, prepared, phase) == expected
    with pytest.raises(ValueError, match=r"targets must have shape \(4,\).*, got \(8,\)"):
        loss(logits[:4], prepared, phase)
    with pytest.raises(ValueError, match=r"targets must have shape \(batch,\), got \(2, 4\)"):
        loss.prepare(targets.reshape(2, 4))


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
        assert loss(logits, targets) == expected
        torch.testing.assert_close(loss.backward(logits, targets), expected.detach())
    torch.testing.assert_close(logits.grad, gradient)


def test_logits_of_more_digits_than_the_loss(logits_and_targets):
    logits, targets = logits_and_targets
    logits.requires_grad_()
    loss = set_dual(AUCMarginLoss(), 0.5, 0.25, 0.75)
    assert loss.backward(logits, targets).dtype == torch.float64
    assert logits.grad.dtype == torch.float64
    assert loss.a.grad.dtype == torch.float32
    expected = set_dual(AUCMarginLoss().double(), 0.5, 0.25, 0.75)(logits, targets)
    torch.testing.assert_close(loss(logits, targets), expected)


def test_backward_of_a_loss_that_was_changed_or_has_hooks(logits_and_targets):
    logits, targets = logits_and_targets
    logits.requires_grad_()

    class Tripled(CompositionalAUCLoss):
        def forward(self, logits, targets, phase):
            return 3 * super().forward(logits, targets, phase)

    plain, tripled, heard = CompositionalAUCLoss(), Tripled(), CompositionalAUCLoss()
    calls = []
    heard.a.register_hook(lambda gradient: calls.append(gradient))
    for phase in ("inner", "outer"):
        value = plain.backward(logits, targets, phase)
        torch.testing.assert_close(tripled.backward(logits, targets, phase), 3 * value)
        torch.testing.assert_close(heard.backward(logits, targets, phase), value)
    torch.testing.assert_close(tripled.a.grad, 3 * plain.a.grad)
    assert calls == [heard.a.grad]


def test_the_loss_works_on_tensors_without_data():
    loss = AUCMarginLoss().to("meta")
    assert loss(torch.zeros(4, device="meta"), torch.zeros(4, device="meta")).shape == ()


@pytest.mark.parametrize("method", ["backward", "gradient", "__call__"])
def test_the_phase_is_checked(logits_and_targets, method):
    with pytest.raises(ValueError, match="phase must be 'inner' or 'outer', got 'iner'"):
        getattr(CompositionalAUCLoss(), method)(*logits_and_targets, phase="iner")


def test_gradient_of_a_function_of_the_user(logits_and_targets):
    logits, targets = logits_and_targets
    scale = torch.nn.Parameter(torch.tensor(2.0))

    def in_place(logits, targets):
        return logits.clamp_(-1, 1).mul_(scale).sub_(targets).square()

    loss = CompositionalAUCLoss(inner_loss=in_place)
    given = logits.detach().clone()
    value, slopes = loss.gradient(given, targets, "inner")
    torch.testing.assert_close(given, logits.detach(), rtol=0, atol=0)
    of_scale, scale.grad = scale.grad, None
    leaf = given.requires_grad_()
    expected = loss(leaf * 1, targets, "inner")
    expected.backward()
    torch.testing.assert_close((value, slopes), (expected.detach(), leaf.grad))
    torch.testing.assert_close(of_scale, scale.grad)


def test_gradient_of_a_loss_that_ignores_the_logits(logits_and_targets):
    weight = torch.ones((), requires_grad=True)
    loss = CompositionalAUCLoss(inner_loss=lambda logits, targets: weight * targets)
    _, slopes = loss.gradient(*logits_and_targets, "inner")
    assert not slopes.any()
    assert weight.grad is not None
