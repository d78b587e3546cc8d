"""What people are shown: tables, reports, the reference, the banner."""
