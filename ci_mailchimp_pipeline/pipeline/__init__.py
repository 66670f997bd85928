"""The steps in their order, without Dagster and without printing.

    upstream.take_upstream -> frames.make_frame -> planning.plan_export -> running.carry_out

``plan`` on the command line calls the first three; Dagster's assets call all of them.
"""
