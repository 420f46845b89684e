"""`python -m analytics_pipeline` is `analytics-pipeline`."""

from analytics_pipeline.cli import main

if __name__ == "__main__":
    main()
