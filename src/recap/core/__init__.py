"""What every stage needs: settings, paths, and the files that stages read and write."""
