# The pipeline on the photographs, with what suits a few images and an encoder that needs no weights.
# Options are added: sh photographs/run.sh -S features.backbone=squeezenet1_1 -S features.weights=FILE
exec dvc exp run -n photographs -S data.source=folder -S data.folder.images=photographs/images \
    -S data.folder.train_captions=photographs/captions.json -S features.backbone=encoders/pixels.py:build \
    -S reduce.components=8 -S tokenize.min_count=1 -S train.batch_size=8 -S train.label_smoothing=0.0 \
    -S train.warmup_steps=10 -S train.keep=last \
    -S decoders.rnn.epochs=40 -S decoders.lstm.epochs=40 -S decoders.transformer.epochs=40 \
    -S decoders.rnn.learning_rate=0.001 -S decoders.lstm.learning_rate=0.002 -S decoders.transformer.learning_rate=0.001 "$@"
