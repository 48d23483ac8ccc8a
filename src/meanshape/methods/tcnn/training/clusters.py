"""Training views of faces for TCNN's heads, and their clusters."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray

from meanshape.core.errors import DataSetError
from meanshape.methods.tcdcn.network import FaceCrops
from meanshape.methods.tcnn.network import Mixture, Vanilla, placed
from meanshape.training.tensors import Floats, TensorSampler, composed, similarities

Whole = NDArray[np.int64]
MOST = 20_000
"""Largest number of views that a mixture is fitted to."""


@dataclass
class Views:
    """N views of faces: the face, whether it is mirrored, the map to the crop, and the trunk's features."""

    index: Whole  # (N,)
    flip: NDArray[np.bool_]  # (N,)
    matrices: Floats  # (N, 2, 3), stored crop -> crop
    points: NDArray[np.float32]  # (N, K, 2) in pixels of the crop
    norm: NDArray[np.float32]  # (N,)
    features: NDArray[np.float32]  # (N, F)
    cluster: Whole  # (N,)

    def __len__(self) -> int:
        return len(self.index)

    def take(self, rows: NDArray[np.bool_] | Whole) -> Views:
        """Return some of the views."""
        return Views(*(getattr(self, field.name)[rows] for field in fields(self)))

    @staticmethod
    def join(parts: list[Views]) -> Views:
        """Return the concatenated views."""
        names = [field.name for field in fields(Views)]
        return Views(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def make_views(
    vanilla: Vanilla, sampler: TensorSampler, rng: np.random.Generator, index: Whole, matrices: Floats,
    flip: NDArray[np.bool_],
) -> Views:  # fmt: skip
    """Return the views of faces under these maps, with augmented pixels, not yet assigned to clusters."""
    batch = sampler.cut(rng, index, matrices, flip)
    with torch.no_grad():
        features = vanilla.features(torch.from_numpy(batch["image"])).numpy()
    cluster = np.zeros(len(index), np.int64)
    return Views(index, flip, matrices, batch["points"], batch["norm"], features, cluster)


def random_views(
    vanilla: Vanilla, sampler: TensorSampler, batches: int, seed: int, face_crops: FaceCrops | None = None
) -> Views:
    """Return views as the sampler draws them, and with `face_crops` those of the later passes too.

    As in prediction, the crop of a later pass is aligned with the points of the pass before.
    """
    rng = np.random.default_rng((seed, 7))
    parts = []
    for step in range(batches):
        index = sampler.indices(step)
        parts.append(make_views(vanilla, sampler, rng, index, *sampler.matrices(rng, index)))
        for _ in range(1, face_crops.passes if face_crops else 1):
            assert face_crops is not None
            last = parts[-1]
            with torch.no_grad():
                found = placed(face_crops, vanilla.regress(torch.from_numpy(last.features))).numpy()
            upright = similarities(found.astype(float), face_crops.target().numpy().astype(float))
            parts.append(
                make_views(vanilla, sampler, rng, index, composed(last.matrices, upright), last.flip)
            )
    return Views.join(parts)


def fit_mixture(features: NDArray[np.float32], clusters: int, dimensions: int, seed: int) -> Mixture:
    """Fit PCA and a Gaussian mixture with diagonal covariances (scikit-learn), to at most `MOST` rows.

    There are no more clusters than faces.
    """
    from sklearn.decomposition import PCA
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    if not len(features):
        raise DataSetError("there are no faces to make clusters of")
    features = features[np.linspace(0, len(features) - 1, min(len(features), MOST)).astype(int)]
    dimensions = min(dimensions, *features.shape)
    clusters = min(clusters, len(features))
    pca = PCA(dimensions, whiten=True, random_state=seed).fit(features)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = GaussianMixture(
            clusters, covariance_type="diag", random_state=seed, max_iter=60, reg_covar=1e-2
        ).fit(pca.transform(features))
    scale = np.sqrt(np.maximum(pca.explained_variance_, 1e-6))
    mixture = Mixture(features.shape[1], dimensions, clusters)
    values = (
        pca.components_ / scale[:, None],
        pca.mean_,
        np.maximum(found.weights_, 1e-9),
        found.means_,
        found.covariances_,
    )
    mixture.set(*(torch.from_numpy(np.asarray(value)).float() for value in values))
    return mixture


def assign(mixture: Mixture, views: Views) -> Views:
    """Assign each view to its most probable cluster, in place; return the views."""
    with torch.no_grad():
        views.cluster = mixture(torch.from_numpy(views.features)).numpy()
    return views


def aligned_views(
    vanilla: Vanilla, mixture: Mixture, sampler: TensorSampler, views: Views, batches: int, seed: int
) -> Views:
    """Return alignment-sensitive augmentation: faces warped onto the points of another face of their cluster.

    A similarity takes the points of one view to those of the other; the warped view is kept only if the
    mixture assigns it to the same cluster.
    """
    rng = np.random.default_rng((seed, 8))
    usable = np.flatnonzero(np.isfinite(views.points).all((1, 2)))
    order = usable[np.argsort(views.cluster[usable], kind="stable")]
    groups = np.split(order, np.flatnonzero(np.diff(views.cluster[order])) + 1) if len(order) else []
    mates = {int(views.cluster[group[0]]): group for group in groups if len(group)}
    parts = [views.take(np.zeros(0, np.int64))]
    for _ in range(batches if mates else 0):
        rows = rng.choice(order, sampler.batch_size)
        others = np.array([rng.choice(mates[int(views.cluster[row])]) for row in rows])
        onto = similarities(views.points[rows].astype(float), views.points[others].astype(float))
        matrices = composed(views.matrices[rows], onto)
        new = make_views(vanilla, sampler, rng, views.index[rows], matrices, views.flip[rows])
        stays = assign(mixture, new).cluster == views.cluster[rows]
        parts.append(new.take(stays))
    return Views.join(parts)


def spread_of_points(points: Floats, norm: Floats, labels: Whole) -> float:
    """Return the mean distance of points from the mean of their cluster, percent of the mean eye distance.

    Shapes are not aligned first: position, scale and rotation in the crop count.
    """
    total = 0.0
    for label in np.unique(labels):
        group = points[labels == label]
        total += float(np.linalg.norm(group - group.mean(0), axis=2).mean(1).sum())
    return 100 * total / len(points) / float(norm.mean())
