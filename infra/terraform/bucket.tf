# What the bucket is: private, encrypted, versioned, tidied up, and heard.

resource "aws_s3_bucket_public_access_block" "retail" {
  bucket                  = aws_s3_bucket.retail_bucket.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "retail" {
  bucket = aws_s3_bucket.retail_bucket.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_versioning" "retail" {
  bucket = aws_s3_bucket.retail_bucket.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "retail" {
  bucket = aws_s3_bucket.retail_bucket.id

  rule {
    bucket_key_enabled = local.uses_kms

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.bucket_encryption
      kms_master_key_id = local.uses_kms ? aws_kms_key.retail.arn : null
    }
  }
}

resource "aws_s3_bucket_policy" "retail" {
  bucket = aws_s3_bucket.retail_bucket.id
  policy = data.aws_iam_policy_document.bucket.json

  depends_on = [aws_s3_bucket_public_access_block.retail]
}

data "aws_iam_policy_document" "bucket" {
  statement {
    sid       = "DenyPlainHttp"
    effect    = "Deny"
    actions   = ["s3:*"] # Deny whatever is asked for in plain HTTP.
    resources = [local.bucket_arn, "${local.bucket_arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_logging" "retail" {
  count = var.access_log_bucket == "" ? 0 : 1

  bucket        = aws_s3_bucket.retail_bucket.id
  target_bucket = var.access_log_bucket
  target_prefix = "${var.bucket_name}/"
}

resource "aws_s3_bucket_lifecycle_configuration" "retail" {
  bucket = aws_s3_bucket.retail_bucket.id

  # Objects below 128 KB stay where they are: moving them would cost more than it saves.
  transition_default_minimum_object_size = "all_storage_classes_128K"

  dynamic "rule" {
    for_each = { raw = var.raw_days, bronze = var.bronze_days }

    content {
      id     = rule.key
      status = "Enabled"

      filter {
        prefix = "${rule.key}/"
      }

      transition {
        days          = rule.value.infrequent
        storage_class = "STANDARD_IA"
      }

      dynamic "expiration" {
        for_each = rule.value.delete == 0 ? [] : [rule.value.delete]

        content {
          days = expiration.value
        }
      }
    }
  }

  # A run that was killed leaves its work in tmp/ for the next one, which comes within the hour.
  dynamic "rule" {
    for_each = { tmp = 14, athena = 7, firehose-errors = 90 }

    content {
      id     = rule.key
      status = "Enabled"

      filter {
        prefix = "${rule.key}/"
      }

      expiration {
        days = rule.value
      }

      # What a run leaves in tmp/ is unpacked lines. A deleted object is an old version, and would stay as
      # long as one of raw/ or bronze/: a day is enough for a run to be taken up again.
      dynamic "noncurrent_version_expiration" {
        for_each = rule.key == "tmp" ? [1] : []

        content {
          noncurrent_days = noncurrent_version_expiration.value
        }
      }
    }
  }

  rule {
    id     = "old-versions"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = var.old_version_days
    }

    expiration {
      expired_object_delete_marker = true
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
  }

  depends_on = [aws_s3_bucket_versioning.retail]
}

# New bronze objects are announced to the topic, everything to EventBridge, where a rule picks raw/.
resource "aws_s3_bucket_notification" "retail" {
  bucket      = aws_s3_bucket.retail_bucket.id
  eventbridge = true

  topic {
    id            = "bronze"
    topic_arn     = aws_sns_topic.s3_notifications.arn
    events        = ["s3:ObjectCreated:*"]
    filter_prefix = "bronze/"
    filter_suffix = ".parquet"
  }

  depends_on = [aws_sns_topic_policy.s3_notifications]
}
