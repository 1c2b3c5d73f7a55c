"""The statistics of a comparison over data sets."""

import numpy as np
import pandas as pd

from benchmarks.harness import comparison


class TestComparison:
    def test_holm(self):
        # sorted: 4 * 0.005, 3 * 0.01, 2 * 0.03, and 1 * 0.04, raised to the one before
        np.testing.assert_allclose(
            comparison.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02]
        )
        np.testing.assert_allclose(comparison.holm([0.6, 0.4]), [0.8, 0.8])

    def test_groups_hold_no_significant_difference(self):
        even = np.linspace(0.7, 0.9, 20)
        noise = 0.001 * (-1.0) ** np.arange(20) * np.arange(1, 21)
        means = pd.DataFrame({"c": even - 0.1, "b": even + noise, "a": even, "d": even - 0.2})
        assert [set(group) for group in comparison.similar_groups(means)] == [{"a", "b"}]

    def test_no_difference(self):
        assert comparison.wilcoxon_p(np.zeros(5)) == 1
