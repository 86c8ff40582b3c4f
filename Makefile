# Makes the models that ship, from the data to calibrated model files.
#
#     make light                        # or resnet50, open: runs/age-light.onnx, runs/age-resnet50.onnx, runs/age-open.onnx
#     make -n light                     # lists the steps
#     make light SOURCE=FILE FAIRFACE=DIR APPA_REAL=DIR     # where UTKFace and the unpacked folders of the others are
#     make resnet50 DATA=DIR            # of a dataset that is prepared already; `light` needs SOURCES=DIR, a joined one, too
#     make open FAIRFACE=DIR            # needs no UTKFace
#
# The same command again does what is left: a training that was cut off goes on where it was, and what is done is not
# done again. Recipes are those that `agelens recipes` lists; each rule below says what one begins with and learns from.

AGELENS ?= agelens
PYTHON ?= python
SOURCE ?= UTKFace.tar.gz
FAIRFACE ?= FairFace
APPA_REAL ?= APPA-REAL
DATA ?= data/utkface
SOURCES ?= data/all
RUNS ?= runs
# A folder of recipes to use in the place of those that ship.
RECIPES ?=

.PHONY: light resnet50 open
.SECONDARY:
.DELETE_ON_ERROR:

light resnet50 open: %: $(RUNS)/age-%.onnx

$(DATA)/dataset.json:
	$(AGELENS) data prepare $(SOURCE) -o $(DATA)
data/fairface/dataset.json:
	$(AGELENS) data prepare $(FAIRFACE) --columns path=file --labels $(FAIRFACE)/labels.csv --name FairFace --licence "CC BY 4.0" -o data/fairface
data/appa-real/dataset.json:
	$(AGELENS) data prepare $(APPA_REAL) --columns path=file --labels $(APPA_REAL)/labels.csv --name APPA-REAL --licence "for research" -o data/appa-real
data/open/dataset.json:
	$(AGELENS) data prepare $(FAIRFACE) --columns path=file --labels $(FAIRFACE)/labels.csv --name FairFace --licence "CC BY 4.0" --aligned -o data/open
$(SOURCES)/dataset.json: $(DATA)/dataset.json data/fairface/dataset.json data/appa-real/dataset.json
	$(AGELENS) data join $(DATA) data/fairface data/appa-real -o $(SOURCES)

# The EfficientNets that are teachers, and the ResNet50 that is distilled from them.
$(RUNS)/efficientnet-160/finished.json: $(RUNS)/efficientnet/finished.json
$(RUNS)/efficientnet-mean/best.ckpt: $(RUNS)/efficientnet/finished.json $(RUNS)/efficientnet-160/finished.json
	$(AGELENS) average $(RUNS)/efficientnet/best.ckpt $(RUNS)/efficientnet-160/best.ckpt -o $@
$(RUNS)/resnet50-distilled/finished.json: $(RUNS)/efficientnet-mean/best.ckpt
$(RUNS)/resnet50/finished.json: $(RUNS)/resnet50-distilled/finished.json $(RUNS)/efficientnet-mean/best.ckpt
$(RUNS)/efficientnet-distilled/finished.json: $(RUNS)/efficientnet-mean/best.ckpt $(RUNS)/resnet50/finished.json

# The MobileNets, the last of which begins `light`.
$(RUNS)/faceres/model.onnx:
	$(PYTHON) tools/convert_faceres.py $@
$(RUNS)/mobilenet/finished.json: $(RUNS)/faceres/model.onnx
$(RUNS)/mobilenet-160/finished.json: $(RUNS)/mobilenet/finished.json
$(RUNS)/mobilenet-192/finished.json: $(RUNS)/mobilenet-160/finished.json
TEACHERS = $(RUNS)/efficientnet-distilled/model.onnx $(RUNS)/mobilenet-192/model.onnx
$(RUNS)/mobilenet-distilled/finished.json: $(RUNS)/mobilenet-160/finished.json $(RUNS)/mobilenet/model.onnx $(TEACHERS)
$(RUNS)/light-utkface/finished.json: $(RUNS)/mobilenet-distilled/model.onnx $(TEACHERS)

# `light` goes on with several sources; two networks teach it, each by one view of a face.
$(RUNS)/light-utkface/one-view.onnx: $(RUNS)/light-utkface/finished.json
	$(AGELENS) export $(RUNS)/light-utkface/best.ckpt --data $(DATA) --int8 -o $@
$(RUNS)/faceres/own-head-160.onnx: $(DATA)/dataset.json
	$(PYTHON) tools/convert_faceres.py --own-head --size 160 --crops $(DATA) $@
$(RUNS)/light/finished.json: $(RUNS)/light-utkface/model.onnx $(RUNS)/light-utkface/one-view.onnx
$(RUNS)/light/finished.json: $(RUNS)/faceres/own-head-160.onnx $(SOURCES)/dataset.json
DATA_light = $(SOURCES)
SPLITS_light = --split calibration

# `open` learns from FairFace alone, whose training pictures also say where a face belongs in the crop (--aligned).
$(RUNS)/open/finished.json: $(RUNS)/open-128/finished.json
DATA_open-128 = data/open
DATA_open = data/open
SPLITS_open = --split calibration

# A run; it writes finished.json last of all.
.SECONDEXPANSION:
$(RUNS)/%/finished.json: $$(or $$(DATA_$$*),$(DATA))/dataset.json
	$(AGELENS) train $(if $(RECIPES),$(RECIPES)/$*.toml,$*) --data $(or $(DATA_$*),$(DATA)) --run $(RUNS)/$*

# Its model file, of the best checkpoint unless rare ages weighed more in the last epochs, which helps them and costs
# others a little.
CHECKPOINT_mobilenet = last
CHECKPOINT_mobilenet-192 = last
$(RUNS)/%/model.onnx: $(RUNS)/%/finished.json
	$(AGELENS) export $(RUNS)/$*/$(or $(CHECKPOINT_$*),best).ckpt --data $(or $(DATA_$*),$(DATA)) --flip --int8 -o $@

$(RUNS)/age-%.onnx: $(RUNS)/%/model.onnx
	cp $< $(RUNS)/partial-$*.onnx
	$(AGELENS) calibrate $(RUNS)/partial-$*.onnx $(or $(DATA_$*),$(DATA)) $(or $(SPLITS_$*),--split calibration --split validation)
	mv $(RUNS)/partial-$*.onnx $@
