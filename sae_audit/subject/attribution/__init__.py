"""What ablating each feature would do to the score, estimated by gradients."""
