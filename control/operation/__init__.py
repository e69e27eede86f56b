"""What every process that serves has, whatever it serves: admission, health, metrics, logs."""
