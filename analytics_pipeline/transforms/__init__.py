"""How each analytics table is made from the log tier: one function a table, SQL files and statistics, no Dagster.

Belongs here: which window of which table a maker replaces, and in which order its SQL files run. Every maker deletes
and inserts by one predicate, so that it may run again at any time: what became empty becomes empty, what lies beside
the window stays. Each expects a connection within a transaction whose time zone is UTC (warehouse.py), and returns the
rows written per table. Does not belong here: when something is made (assets, automation.py), and findings (insights/).
"""
