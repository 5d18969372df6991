# The five resources that the pipeline is named after, and the role of the job. What else belongs to each of
# them is in the file of its family: bucket.tf, snowflake.tf, glue.tf and starts.tf, notices.tf.

locals {
  account   = data.aws_caller_identity.here.account_id
  partition = data.aws_partition.here.partition

  bucket_arn = "arn:${local.partition}:s3:::${var.bucket_name}"
  job_name   = "${replace(var.name, "-", "_")}_glue_cleaner"

  script_key  = "glue/scripts/glue_job_cleaner.py"
  package_key = "glue/medallion.zip"

  wheels = [
    for module in split(",", var.glue_python_modules) :
    "arn:${local.partition}:s3:::${trimprefix(module, "s3://")}" if startswith(module, "s3://")
  ]
}

# --- bucket ------------------------------------------------------------------------------------------

resource "aws_s3_bucket" "retail_bucket" {
  #checkov:skip=CKV_AWS_18:Access logs go to a bucket of the account's, when access_log_bucket names one.
  #checkov:skip=CKV_AWS_144:A second region is a choice of cost; versioning and raw/ can rebuild all the rest.
  #checkov:skip=CKV_AWS_145:AES-256 is the owner's default; bucket_encryption = "aws:kms" turns to the key.
  bucket        = var.bucket_name
  force_destroy = var.force_destroy
}

# --- Snowflake's role --------------------------------------------------------------------------------

resource "aws_iam_role" "snowflake_integration_role" {
  name                 = "${var.name}-snowflake-integration"
  description          = "Snowflake reads raw/ and bronze/ of ${var.bucket_name}, and nothing else"
  max_session_duration = 3600
  assume_role_policy   = data.aws_iam_policy_document.snowflake_trust["integration"].json
}

# --- the job and its role ----------------------------------------------------------------------------

resource "aws_glue_job" "glue_cleaner" {
  #checkov:skip=CKV_AWS_195:Bucket and log groups encrypt on their own; a security configuration would only repeat it.
  name              = local.job_name
  description       = "Cleans what waits in raw/ into bronze/: purchases, quarantine, receipts"
  role_arn          = aws_iam_role.glue_cleaner.arn
  glue_version      = "5.1"
  worker_type       = var.glue_worker_type
  number_of_workers = var.glue_workers
  execution_class   = var.glue_flex ? "FLEX" : "STANDARD"
  timeout           = var.glue_timeout_minutes
  max_retries       = var.glue_retries

  command {
    name            = "glueetl"
    python_version  = "3"
    script_location = "s3://${aws_s3_object.script.bucket}/${aws_s3_object.script.key}"
  }

  # One run at a time: two would do the same work twice. A run goes on until nothing waits, so a second
  # one has nothing to do anyway.
  execution_property {
    max_concurrent_runs = 1
  }

  default_arguments = merge({
    "--job-language"              = "python"
    "--LAKE"                      = "s3://${var.bucket_name}"
    "--extra-py-files"            = "s3://${aws_s3_object.package.bucket}/${aws_s3_object.package.key}"
    "--additional-python-modules" = var.glue_python_modules
    "--TempDir"                   = "s3://${var.bucket_name}/tmp/glue/"
    # Glue 5.1 reads s3:// with S3A of Hadoop 3.4.1, which takes us-east-2 where no region is set
    # (docs.aws.amazon.com/glue/latest/dg/migrating-version-51.html; DefaultS3ClientFactory of hadoop-aws).
    "--conf"                         = "spark.hadoop.fs.s3a.endpoint.region=${var.region}"
    "--custom-logGroup-prefix"       = local.log_prefix
    "--enable-metrics"               = "true"
    "--enable-observability-metrics" = "true"
  }, length(local.wheels) > 0 ? { "--python-modules-installer-option" = "--no-index" } : {})
}

resource "aws_iam_role" "glue_cleaner" {
  name               = "${var.name}-glue-cleaner"
  description        = "The job ${local.job_name}: reads raw/, writes bronze/, works in tmp/"
  assume_role_policy = data.aws_iam_policy_document.glue_trust.json
}

# Glue acts only on roles that somebody of this account passed to it.
data "aws_iam_policy_document" "glue_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["glue.amazonaws.com"]
    }
  }
}

resource "aws_iam_role_policy" "glue_cleaner" {
  name   = "clean"
  role   = aws_iam_role.glue_cleaner.id
  policy = data.aws_iam_policy_document.glue_cleaner.json
}

data "aws_iam_policy_document" "glue_cleaner" {
  source_policy_documents = local.kms_writes

  statement {
    sid     = "ReadRawAndCode"
    actions = ["s3:GetObject"]
    resources = [
      "${local.bucket_arn}/raw/*", "${local.bucket_arn}/bronze/*", "${local.bucket_arn}/tmp/*",
      "${local.bucket_arn}/${local.script_key}", "${local.bucket_arn}/${local.package_key}",
    ]
  }

  statement {
    sid       = "WriteBronze"
    actions   = ["s3:PutObject", "s3:AbortMultipartUpload"]
    resources = ["${local.bucket_arn}/bronze/*", "${local.bucket_arn}/tmp/*"]
  }

  statement {
    sid       = "ClearUp"
    actions   = ["s3:DeleteObject"]
    resources = ["${local.bucket_arn}/tmp/*"]
  }

  # Without a condition on the prefix: the job asks whether an object is there, and S3 answers 404 only to
  # who may list; with a condition it answers 403.
  statement {
    sid       = "ListTheLake"
    actions   = ["s3:ListBucket", "s3:GetBucketLocation"]
    resources = [local.bucket_arn]
  }

  # A stream is made in a group and written to by its own name.
  statement {
    sid     = "WriteLogs"
    actions = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = flatten([
      for group in local.log_groups : ["${local.log_arn}:${group}", "${local.log_arn}:${group}:*"]
    ])
  }

  # PutMetricData knows no resources; the namespace is what can be narrowed.
  statement {
    sid       = "PutMetrics"
    actions   = ["cloudwatch:PutMetricData"]
    resources = ["*"]

    condition {
      test     = "StringEquals"
      variable = "cloudwatch:namespace"
      values   = ["Glue"]
    }
  }
}

resource "aws_iam_role_policy" "wheels" {
  count = length(local.wheels) > 0 ? 1 : 0

  name   = "install"
  role   = aws_iam_role.glue_cleaner.id
  policy = data.aws_iam_policy_document.wheels[0].json
}

data "aws_iam_policy_document" "wheels" {
  count = length(local.wheels) > 0 ? 1 : 0

  statement {
    sid       = "ReadWheels"
    actions   = ["s3:GetObject"]
    resources = local.wheels
  }
}

# --- notices -----------------------------------------------------------------------------------------

resource "aws_sns_topic" "s3_notifications" {
  name              = "${var.name}-s3-notifications"
  display_name      = "New objects in bronze/"
  kms_master_key_id = aws_kms_key.retail.arn
}

resource "aws_sqs_queue" "snowpipe_queue" {
  name                       = "${var.name}-snowpipe"
  message_retention_seconds  = 14 * 24 * 3600
  visibility_timeout_seconds = 300
  receive_wait_time_seconds  = 20
  kms_master_key_id          = aws_kms_key.retail.arn

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
    maxReceiveCount     = 5
  })
}
