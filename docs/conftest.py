"""What pytest collects here: the examples in the pages, and the scripts of the gallery."""

collect_ignore_glob = ["_build/*", "auto_examples/*", "examples/*", "figures/*", "generated/*"]
