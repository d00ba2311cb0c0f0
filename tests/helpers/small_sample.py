"""Two cells in the format of the sample."""

from nplib.cell import Cell

CHAIN = Cell([[0, 1, 0], [0, 0, 1], [0, 0, 0]], ["input", "conv3x3-bn-relu", "output"])
DIRECT = Cell([[0, 1], [0, 0]], ["input", "output"])
SMALL = {
    "key": [CHAIN.module_hash, DIRECT.module_hash],
    "trainable_parameters": [CHAIN.trainable_parameters, DIRECT.trainable_parameters],
    "4_final_validation_accuracy": [0.25, 0.5],
    "12_final_validation_accuracy": [0.375, 0.5],
    "36_final_validation_accuracy": [0.75, 0.5],
    "108_final_validation_accuracy": [0.875, 0.625],
    "final_training_time": [1000.0, 500.5],
}
