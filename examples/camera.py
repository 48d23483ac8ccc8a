"""Follow the faces before camera 0 through OpenCV, each with a number that stays: camera.py."""

import cv2

import meanshape as ms

camera, tracker = cv2.VideoCapture(0), ms.Tracker(color="bgr")  # OpenCV's frames are BGR
there, frame = camera.read()
while there and cv2.waitKey(1) != 27:  # Esc ends
    prediction = tracker(frame)
    print([(face.track, face.shape["nose_tip"].round()) for face in prediction.faces])
    cv2.imshow("faces", ms.draw(frame, prediction, color="bgr"))
    there, frame = camera.read()
camera.release()
