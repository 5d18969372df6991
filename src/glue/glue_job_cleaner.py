"""The AWS Glue 5.1 job `retail_glue_cleaner`, which cleans new objects of raw/ into bronze/.

Arguments: --LAKE, the URL of the lake (s3://bucket). Optional: --KEYS, a comma-separated list of
raw keys; without it, all raw objects that have no receipt. --extra-py-files adds the package
`medallion`, --additional-python-modules the compiler of its cleaner; without the compiler the job
gives the same result, but slowly.
"""

import sys

from awsglue.context import GlueContext
from awsglue.job import Job
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext

from medallion.layers.spark.bronze import clean


def main(arguments: list[str]) -> None:
    """Run the job; the next run finishes one that failed."""
    optional = ["KEYS"] if "--KEYS" in arguments else []
    options = getResolvedOptions(arguments, ["JOB_NAME", "LAKE", *optional])
    glue = GlueContext(SparkContext.getOrCreate())
    job = Job(glue)
    job.init(options["JOB_NAME"], options)
    keys = options["KEYS"].split(",") if optional else None
    log = glue.get_logger()
    report = clean(glue.spark_session, options["LAKE"], keys, log.info)
    log.info(
        f"{report.runs} runs, {report.objects} raw objects, {report.lines} lines: "
        f"{report.accepted} accepted, {report.quarantined} quarantined; "
        f"{len(report.published)} objects published"
    )
    job.commit()


if __name__ == "__main__":
    main(sys.argv)
