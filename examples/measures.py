"""Print for each face how it is turned and how open eyes and mouth are: measures.py PHOTO…."""

import sys

import meanshape as ms
from meanshape.inference import measures

pipeline = ms.Pipeline(markup="ibug68")
for photo in sys.argv[1:]:
    for face in pipeline(photo).faces:
        right, left = measures.eye_aspect_ratio(face.shape)
        mouth = measures.mouth_aspect_ratio(face.shape)
        yaw = face.pose.yaw if face.pose is not None else float("nan")
        print(f"{photo}: yaw {yaw:.0f}°, eyes {right:.2f} and {left:.2f}, mouth {mouth:.2f}")
