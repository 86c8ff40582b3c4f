# Makes the models that ship, from the data to calibrated model files.
#
#     make light                        # or resnet50: runs/age-light.onnx, runs/age-resnet50.onnx
#     make -n light                     # lists the steps
#     make light DATA=DIR SOURCE=FILE   # of another dataset; SOURCE is what it is prepared from
#
# The same command again does what is left: a training that was cut off goes on where it was, and what is done is not
# done again. Recipes are those that `agelens recipes` lists; each rule below says what one begins with and learns from.

AGELENS ?= agelens
PYTHON ?= python
SOURCE ?= UTKFace.tar.gz
DATA ?= data/utkface
RUNS ?= runs
# A folder of recipes to use in the place of those that ship.
RECIPES ?=

.PHONY: light resnet50
.SECONDARY:
.DELETE_ON_ERROR:

light resnet50: %: $(RUNS)/age-%.onnx

$(DATA)/dataset.json:
	$(AGELENS) data prepare $(SOURCE) -o $(DATA)

# The EfficientNets that are teachers, and the ResNet50 that is distilled from them.
$(RUNS)/efficientnet-160/finished.json: $(RUNS)/efficientnet/finished.json
$(RUNS)/efficientnet-mean/best.ckpt: $(RUNS)/efficientnet/finished.json $(RUNS)/efficientnet-160/finished.json
	$(AGELENS) average $(RUNS)/efficientnet/best.ckpt $(RUNS)/efficientnet-160/best.ckpt -o $@
$(RUNS)/resnet50-distilled/finished.json: $(RUNS)/efficientnet-mean/best.ckpt
$(RUNS)/resnet50/finished.json: $(RUNS)/resnet50-distilled/finished.json $(RUNS)/efficientnet-mean/best.ckpt
$(RUNS)/efficientnet-distilled/finished.json: $(RUNS)/efficientnet-mean/best.ckpt $(RUNS)/resnet50/finished.json

# The MobileNets, the last of which is `light`.
$(RUNS)/faceres/model.onnx:
	$(PYTHON) tools/convert_faceres.py $@
$(RUNS)/mobilenet/finished.json: $(RUNS)/faceres/model.onnx
$(RUNS)/mobilenet-160/finished.json: $(RUNS)/mobilenet/finished.json
$(RUNS)/mobilenet-192/finished.json: $(RUNS)/mobilenet-160/finished.json
TEACHERS = $(RUNS)/efficientnet-distilled/model.onnx $(RUNS)/mobilenet-192/model.onnx
$(RUNS)/mobilenet-distilled/finished.json: $(RUNS)/mobilenet-160/finished.json $(RUNS)/mobilenet/model.onnx $(TEACHERS)
$(RUNS)/light/finished.json: $(RUNS)/mobilenet-distilled/model.onnx $(TEACHERS)

# A run; it writes finished.json last of all.
$(RUNS)/%/finished.json: $(DATA)/dataset.json
	$(AGELENS) train $(if $(RECIPES),$(RECIPES)/$*.toml,$*) --data $(DATA) --run $(RUNS)/$*

# Its model file, of the best checkpoint unless rare ages weighed more in the last epochs, which helps them and costs
# others a little.
CHECKPOINT_mobilenet = last
CHECKPOINT_mobilenet-192 = last
$(RUNS)/%/model.onnx: $(RUNS)/%/finished.json
	$(AGELENS) export $(RUNS)/$*/$(or $(CHECKPOINT_$*),best).ckpt --data $(DATA) --flip --int8 -o $@

$(RUNS)/age-%.onnx: $(RUNS)/%/model.onnx
	cp $< $(RUNS)/partial-$*.onnx
	$(AGELENS) calibrate $(RUNS)/partial-$*.onnx $(DATA) --split calibration --split validation
	mv $(RUNS)/partial-$*.onnx $@
