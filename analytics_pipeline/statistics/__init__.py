"""Pure statistics: numbers in, numbers out; knows neither Dagster nor DuckDB nor the tables."""
