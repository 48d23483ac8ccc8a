"""Train the mean shape and CPR on rendered faces and measure both: train_and_measure.py FOLDER FACES."""

import sys

import meanshape as ms
from meanshape.datasets import load_data, synthetic
from meanshape.methods.cpr import CPR
from meanshape.methods.mean_shape import MeanShape

folder, faces = sys.argv[1], int(sys.argv[2])
synthetic.write(folder, faces, 64, splits=("train", "validation"))  # stands for photos of your own
train, validation = (load_data(f"folder:{folder}:{split}") for split in ("train", "validation"))
for model in (MeanShape(), CPR.tiny()):
    model.fit(train, validation, seed=0)
    error = ms.evaluate(model, validation).nme()
    print(f"{model.name}: {error:.2f} % of the distance of the outer eye corners")
