# What the cleaner runs on: its code, its role, its logs, and what starts it.

locals {
  log_prefix = "/aws-glue/jobs/${local.job_name}"
  log_groups = ["${local.log_prefix}/error", "${local.log_prefix}/output"]
  log_arn    = "arn:${local.partition}:logs:${var.region}:${local.account}:log-group"

  package = coalesce(var.package_path, "${path.module}/../../build/medallion.zip")
  script  = "${path.module}/../../src/glue/glue_job_cleaner.py"

  wheels = [
    for module in split(",", var.glue_python_modules) :
    "arn:${local.partition}:s3:::${trimprefix(module, "s3://")}" if startswith(module, "s3://")
  ]
}

# --- code: uploaded when its bytes change -----------------------------------------------------------

resource "aws_s3_object" "script" {
  #checkov:skip=CKV_AWS_186:Encrypted as the bucket says; see aws_s3_bucket.retail_bucket.
  bucket      = aws_s3_bucket.retail_bucket.id
  key         = local.script_key
  source      = local.script
  source_hash = filemd5(local.script)

  depends_on = [aws_s3_bucket_server_side_encryption_configuration.retail, aws_s3_bucket_versioning.retail]
}

resource "aws_s3_object" "package" {
  #checkov:skip=CKV_AWS_186:Encrypted as the bucket says; see aws_s3_bucket.retail_bucket.
  bucket      = aws_s3_bucket.retail_bucket.id
  key         = local.package_key
  source      = local.package
  source_hash = fileexists(local.package) ? filemd5(local.package) : null

  depends_on = [aws_s3_bucket_server_side_encryption_configuration.retail, aws_s3_bucket_versioning.retail]

  lifecycle {
    precondition {
      condition     = fileexists(local.package)
      error_message = "The job's package is missing: run `python src/glue/package.py build/medallion.zip` in the project's root."
    }
  }
}

# --- role: reads raw/, writes bronze/, works in tmp/ -------------------------------------------------

resource "aws_iam_role" "glue_cleaner" {
  name        = "${var.name}-glue-cleaner"
  description = "The job ${local.job_name}: reads raw/, writes bronze/, works in tmp/"

  # Glue acts only on roles that somebody of this account passed to it.
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "glue.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy" "glue_cleaner" {
  name = "clean"
  role = aws_iam_role.glue_cleaner.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid    = "ReadRawAndCode"
        Effect = "Allow"
        Action = ["s3:GetObject"]
        Resource = [
          "${local.bucket_arn}/raw/*", "${local.bucket_arn}/bronze/*", "${local.bucket_arn}/tmp/*",
          "${local.bucket_arn}/${local.script_key}", "${local.bucket_arn}/${local.package_key}",
        ]
      },
      {
        Sid      = "WriteBronze"
        Effect   = "Allow"
        Action   = ["s3:PutObject", "s3:AbortMultipartUpload"]
        Resource = ["${local.bucket_arn}/bronze/*", "${local.bucket_arn}/tmp/*"]
      },
      {
        Sid      = "ClearUp"
        Effect   = "Allow"
        Action   = ["s3:DeleteObject"]
        Resource = "${local.bucket_arn}/tmp/*"
      },
      {
        # Without a condition on the prefix: the job asks whether an object is there, and S3 answers 404
        # only to who may list; with a condition it answers 403.
        Sid      = "ListTheLake"
        Effect   = "Allow"
        Action   = ["s3:ListBucket", "s3:GetBucketLocation"]
        Resource = local.bucket_arn
      },
      {
        # A stream is made in a group and written to by its own name.
        Sid    = "WriteLogs"
        Effect = "Allow"
        Action = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = flatten([
          for group in local.log_groups : ["${local.log_arn}:${group}", "${local.log_arn}:${group}:*"]
        ])
      },
      {
        # PutMetricData knows no resources; the namespace is what can be narrowed.
        Sid       = "PutMetrics"
        Effect    = "Allow"
        Action    = ["cloudwatch:PutMetricData"]
        Resource  = "*"
        Condition = { StringEquals = { "cloudwatch:namespace" = "Glue" } }
      },
    ], local.kms_writes)
  })
}

resource "aws_iam_role_policy" "wheels" {
  count = length(local.wheels) > 0 ? 1 : 0

  name = "install"
  role = aws_iam_role.glue_cleaner.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "ReadWheels"
      Effect   = "Allow"
      Action   = ["s3:GetObject"]
      Resource = local.wheels
    }]
  })
}

resource "aws_cloudwatch_log_group" "glue_cleaner" {
  #checkov:skip=CKV_AWS_338:How long is the owner's choice (log_days, 90 by default).
  for_each = toset(local.log_groups)

  name              = each.key
  retention_in_days = var.log_days
  kms_key_id        = aws_kms_key.retail.arn
}

# --- starts: by arrivals in batches, and by the clock ------------------------------------------------

resource "aws_glue_workflow" "arrivals" {
  name                = "${var.name}-arrivals"
  description         = "New raw objects, in batches, start the cleaner"
  max_concurrent_runs = 1
}

resource "aws_glue_trigger" "arrivals" {
  name          = "${var.name}-arrivals"
  description   = "After so many new raw objects, or so many seconds since the first of them"
  type          = "EVENT"
  workflow_name = aws_glue_workflow.arrivals.name
  enabled       = var.start_on_arrival

  event_batching_condition {
    batch_size   = var.arrivals_per_run
    batch_window = var.arrival_window_seconds
  }

  actions {
    job_name = aws_glue_job.glue_cleaner.name
  }
}

# Takes what an arrival did not start: events are sent at least once, but a start may be refused while a
# run is busy.
resource "aws_glue_trigger" "sweep" {
  name              = "${var.name}-sweep"
  description       = "Whatever still waits"
  type              = "SCHEDULED"
  schedule          = "cron(${var.sweep_cron})"
  enabled           = var.sweep
  start_on_creation = var.sweep

  actions {
    job_name = aws_glue_job.glue_cleaner.name
  }
}

resource "aws_cloudwatch_event_rule" "arrivals" {
  name        = "${var.name}-raw-arrivals"
  description = "New objects under raw/"
  state       = var.start_on_arrival ? "ENABLED" : "DISABLED"

  event_pattern = jsonencode({
    source      = ["aws.s3"]
    detail-type = ["Object Created"]
    detail = {
      bucket = { name = [var.bucket_name] }
      object = { key = [{ prefix = "raw/" }] }
    }
  })
}

resource "aws_cloudwatch_event_target" "arrivals" {
  rule     = aws_cloudwatch_event_rule.arrivals.name
  arn      = aws_glue_workflow.arrivals.arn
  role_arn = aws_iam_role.arrivals.arn
}

resource "aws_iam_role" "arrivals" {
  name        = "${var.name}-arrivals"
  description = "EventBridge tells the workflow ${var.name}-arrivals of new raw objects"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "events.amazonaws.com" }
      Condition = {
        ArnEquals    = { "aws:SourceArn" = aws_cloudwatch_event_rule.arrivals.arn }
        StringEquals = { "aws:SourceAccount" = local.account }
      }
    }]
  })
}

resource "aws_iam_role_policy" "arrivals" {
  name = "notify"
  role = aws_iam_role.arrivals.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "NotifyTheWorkflow"
      Effect   = "Allow"
      Action   = ["glue:NotifyEvent"]
      Resource = aws_glue_workflow.arrivals.arn
    }]
  })
}
