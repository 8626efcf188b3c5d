"""How models get better: queue, training sets, recipes, training process, evaluation, gate, promotion."""
