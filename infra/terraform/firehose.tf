# Optional: a Kinesis Firehose stream that producers write single events to. It gathers them into objects
# of raw/purchases/, in the folder of the hour (UTC).

locals {
  firehose = toset(var.firehose ? ["purchases"] : [])
}

resource "aws_kinesis_firehose_delivery_stream" "purchases" {
  #checkov:skip=CKV_AWS_241:The stream is encrypted with a key of the service; its objects as the bucket says.
  for_each = local.firehose

  name        = "${var.name}-${each.key}"
  destination = "extended_s3"

  server_side_encryption {
    enabled = true
  }

  extended_s3_configuration {
    bucket_arn          = aws_s3_bucket.retail_bucket.arn
    role_arn            = aws_iam_role.firehose[each.key].arn
    prefix              = "raw/${each.key}/year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/hour=!{timestamp:HH}/"
    error_output_prefix = "firehose-errors/!{firehose:error-output-type}/"
    file_extension      = ".ndjson.gz"
    compression_format  = "GZIP"
    buffering_size      = 64
    buffering_interval  = 60

    # One event a line, whether its producer ended it or not; an empty line is counted as blank.
    processing_configuration {
      enabled = true

      processors {
        type = "AppendDelimiterToRecord"
      }
    }

    cloudwatch_logging_options {
      enabled         = true
      log_group_name  = aws_cloudwatch_log_group.firehose[each.key].name
      log_stream_name = aws_cloudwatch_log_stream.firehose[each.key].name
    }
  }

  depends_on = [aws_iam_role_policy.firehose]
}

resource "aws_cloudwatch_log_group" "firehose" {
  #checkov:skip=CKV_AWS_338:How long is the owner's choice (log_days, 90 by default).
  #checkov:skip=CKV_AWS_158:It holds delivery errors, never an event; CloudWatch encrypts it with its own key.
  for_each = local.firehose

  name              = "/aws/kinesisfirehose/${var.name}-${each.key}"
  retention_in_days = var.log_days
}

resource "aws_cloudwatch_log_stream" "firehose" {
  for_each = local.firehose

  name           = "delivery"
  log_group_name = aws_cloudwatch_log_group.firehose[each.key].name
}

resource "aws_iam_role" "firehose" {
  for_each = local.firehose

  name        = "${var.name}-firehose"
  description = "The stream ${var.name}-${each.key} writes raw/${each.key}/"

  assume_role_policy = data.aws_iam_policy_document.firehose_trust.json
}

data "aws_iam_policy_document" "firehose_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["firehose.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "sts:ExternalId"
      values   = [local.account]
    }
  }
}

resource "aws_iam_role_policy" "firehose" {
  for_each = local.firehose

  name   = "deliver"
  role   = aws_iam_role.firehose[each.key].id
  policy = data.aws_iam_policy_document.firehose[each.key].json
}

data "aws_iam_policy_document" "firehose" {
  for_each = local.firehose

  source_policy_documents = local.kms_writes

  statement {
    sid       = "WriteRaw"
    actions   = ["s3:PutObject", "s3:AbortMultipartUpload"]
    resources = ["${local.bucket_arn}/raw/${each.key}/*", "${local.bucket_arn}/firehose-errors/*"]
  }

  statement {
    sid       = "FindTheBucket"
    actions   = ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"]
    resources = [local.bucket_arn]
  }

  statement {
    sid       = "LogErrors"
    actions   = ["logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.firehose[each.key].arn}:log-stream:delivery"]
  }
}
