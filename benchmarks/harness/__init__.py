"""What every benchmark uses: files of results, worker processes, reports, command lines."""
