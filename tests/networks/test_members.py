import torch
from torch import nn

from skdam.networks.members import MemberLinear, mean_probability_logit


def test_a_member_layer_is_a_linear_layer_for_each_member():
    layer = MemberLinear(n_members=3, in_features=4, out_features=2)
    X = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    outputs = layer(X)
    for member in range(3):
        weight, bias = layer.weight[member].T, layer.bias[member, 0]
        torch.testing.assert_close(outputs[member], nn.functional.linear(X[member], weight, bias))


def test_the_vote_is_the_logit_of_the_mean_probability():
    logits = torch.tensor([[0.3, -2.0, 4.0], [1.0, 1.0, 1.0]], dtype=torch.float64)
    expected = torch.logit(torch.sigmoid(logits).mean(1))
    torch.testing.assert_close(mean_probability_logit(logits), expected)


def test_the_vote_is_exact_where_probabilities_round_to_0_or_1():
    logits = torch.tensor([-900.0, -800.0, 0.0, 800.0, 900.0]).unsqueeze(1).repeat(1, 3)
    torch.testing.assert_close(mean_probability_logit(logits), logits[:, 0])
