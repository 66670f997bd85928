"""From a snapshot to the export frame: accepted rows under a contract, rejected ones with a reason."""
