"""Pages that Sphinx generates are not collected for doctests."""

collect_ignore_glob = ["_build/*", "auto_examples/*", "generated/*"]
