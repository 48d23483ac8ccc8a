"""What the data sets share: their cards, finding files, checking them, drawing pictures for tests."""
