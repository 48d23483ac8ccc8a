"""The aligner of 2010 before CPR's cascade: it learns where faces are, and answers with the mode."""

from __future__ import annotations

import numpy as np

from meanshape.core import config
from meanshape.core.geometry import apply, similarity
from meanshape.datasets import synthetic
from meanshape.methods.cpr import CPR, pose_ferns, training_set


def test_the_pose_regression_of_2010_learns_where_faces_are(tmp_path):
    """On the views that it learns from, which are off by up to a quarter, it takes most of that away."""
    faces = [synthetic.face(seed, 96) for seed in (*range(24), 30)]
    settings = {"views.exact": 0.0, "views.shift": 0.25, "views.count": 4}
    tiny = config.override(CPR.tiny().config, {**settings, "pose.stages": 60, "pose.examples": 400})
    rng = np.random.default_rng(0)
    shown = training_set.gather(
        faces[:24], faces[0].shape.markup, tiny.views, tiny.reach, tiny.density, rng, lambda share, text: None
    )
    mean = shown.truth.mean(0)
    aligner = pose_ferns.PoseCascade.fit(shown, mean, tiny.pose, rng)
    true = np.stack([pose_ferns.inverse_upright(shape, mean)[:, 2] for shape in shown.truth])
    found = aligner(shown.views)[..., 2]
    assert np.median(np.hypot(*(found - true).T)) < 0.7 * np.median(np.hypot(*true.T))
    model = CPR(tiny).fit(faces[:24], seed=1)
    back = CPR.load(model.save(tmp_path / "model"))
    assert back.predict(faces[-1].image, faces[-1].box) == model.predict(faces[-1].image, faces[-1].box)
    laid = back.predict(faces[-1].image, faces[-1].box, stages=0).points
    assert np.allclose(apply(similarity(model.mean, laid), model.mean), laid)


def test_the_mode_is_not_the_mean():
    poses = np.zeros((5, 4))
    poses[:3, 0] = (0.1, 0.1, 0.11)
    poses[3:, 0] = (-0.9, 0.8)
    assert pose_ferns.densest(poses) in (0, 1, 2)
    some = np.random.default_rng(0).normal(0, 0.3, (6, 4))
    assert np.allclose(pose_ferns.poses_of(pose_ferns.matrices_of(some)), some)
    assert np.allclose(pose_ferns.relative(some, some), 0, atol=1e-12)
