"""What several methods share. What one method uses alone lives in its folder."""
