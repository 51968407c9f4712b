"""What opens a runtime: sessions, observation, verification."""
