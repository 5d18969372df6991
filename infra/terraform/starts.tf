# What starts the cleaner: arrivals in batches, and the clock.

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

  assume_role_policy = data.aws_iam_policy_document.arrivals_trust.json
}

data "aws_iam_policy_document" "arrivals_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [aws_cloudwatch_event_rule.arrivals.arn]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_iam_role_policy" "arrivals" {
  name   = "notify"
  role   = aws_iam_role.arrivals.id
  policy = data.aws_iam_policy_document.arrivals.json
}

data "aws_iam_policy_document" "arrivals" {
  statement {
    sid       = "NotifyTheWorkflow"
    actions   = ["glue:NotifyEvent"]
    resources = [aws_glue_workflow.arrivals.arn]
  }
}
