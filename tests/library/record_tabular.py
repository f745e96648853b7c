"""`std.tabular` as scikit-learn and NumPy compute it."""

import numpy as np
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler


def f32(values):
    return np.asarray(values, dtype=np.float32)


def cases():
    random = np.random.default_rng(20264)
    mean, std = np.float64([1.5, -20, 1000]), np.float64([0.5, 3, 250])
    x = f32(random.normal(0, 1, (6, 3)) * std + mean)
    # Trained on two rows, so that the statistics are round numbers.
    standard = StandardScaler().fit(np.stack([mean - std, mean + std]))
    least_and_most = MinMaxScaler().fit(np.float64([[0, -30, 500], [3, -10, 1500]]))
    yield "Scales", {"x": x}, {
        "standardized": f32(standard.transform(x.astype(np.float64))),
        "rescaled": f32(least_and_most.transform(x.astype(np.float64))),
    }

    gaps = x.copy()
    gaps[0, 0] = gaps[3, 2] = gaps[5, 1] = gaps[5, 2] = np.nan
    fill = SimpleImputer(strategy="mean").fit(np.float64([[0, -2, 100], [2, -3, 500]]))
    yield "Gaps", {"x": gaps}, {
        "filled": f32(fill.transform(gaps)),
        "gaps": f32(MissingIndicator(features="all").fit_transform(gaps)),
    }

    classes = np.int32([[0, 4, 2, 2], [1, 3, -1, 5]])  # two that there are not
    encoder = OneHotEncoder(categories=[np.arange(5)], handle_unknown="ignore", sparse_output=False)
    encode = lambda classes, encoder: f32(encoder.fit_transform(classes.reshape(-1, 1))).reshape(*classes.shape, -1)
    yield "Classes", {"class": classes}, {"value": encode(classes, encoder)}

    ages = f32([0, 17.9, 18, 18.1, 29.9, 30, 64, 65, 120])
    bucket = np.digitize(ages, [18, 30, 65]).astype(np.int32)
    four = OneHotEncoder(categories=[np.arange(4)], sparse_output=False)
    yield "Ranges", {"age": ages}, {"bucket": bucket, "row": np.concatenate([encode(bucket, four), ages[:, None]], axis=1)}
