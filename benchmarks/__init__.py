"""Speed and error of each operator beside its peers, measured in the same run; static tables where there is no GPU."""
