# What Snowflake may do. Its user and external ids are known only after its integrations exist, and those
# need the ARNs of these roles: so the first apply trusts nobody, the second one Snowflake. Only the trust
# policies change; README.md has the commands.

locals {
  external_ids = {
    integration = var.snowflake_external_id
    errors      = var.snowflake_error_external_id
  }

  errors_role = "${var.name}-snowflake-errors"
}

data "aws_iam_policy_document" "snowflake_trust" {
  for_each = local.external_ids

  dynamic "statement" {
    for_each = each.value == "" ? ["NobodyYet"] : []

    content {
      sid     = statement.value
      effect  = "Deny"
      actions = ["sts:AssumeRole"]

      principals {
        type        = "AWS"
        identifiers = ["arn:${local.partition}:iam::${local.account}:root"]
      }
    }
  }

  dynamic "statement" {
    for_each = compact([each.value])

    content {
      sid     = "SnowflakeWithItsExternalId"
      actions = ["sts:AssumeRole"]

      principals {
        type        = "AWS"
        identifiers = [var.snowflake_principal_arn]
      }

      condition {
        test     = "StringEquals"
        variable = "sts:ExternalId"
        values   = [statement.value]
      }
    }
  }
}

resource "aws_iam_role_policy" "snowflake_reads" {
  name   = "read-raw-and-bronze"
  role   = aws_iam_role.snowflake_integration_role.id
  policy = data.aws_iam_policy_document.snowflake_reads.json
}

data "aws_iam_policy_document" "snowflake_reads" {
  source_policy_documents = local.kms_reads

  statement {
    sid       = "ReadObjects"
    actions   = ["s3:GetObject", "s3:GetObjectVersion"]
    resources = ["${local.bucket_arn}/raw/*", "${local.bucket_arn}/bronze/*"]
  }

  statement {
    sid       = "ListTheirPrefixes"
    actions   = ["s3:ListBucket"]
    resources = [local.bucket_arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["raw/*", "bronze/*"]
    }
  }

  statement {
    sid       = "KnowTheRegion"
    actions   = ["s3:GetBucketLocation"]
    resources = [local.bucket_arn]
  }
}

# Snowpipe tells of files that it could not load.
resource "aws_sns_topic" "pipe_errors" {
  name              = "${var.name}-pipe-errors"
  display_name      = "Files that Snowpipe could not load"
  kms_master_key_id = aws_kms_key.retail.arn
}

# Without a policy of its own a topic gets one that names anybody of the account.
resource "aws_sns_topic_policy" "pipe_errors" {
  arn    = aws_sns_topic.pipe_errors.arn
  policy = data.aws_iam_policy_document.pipe_errors.json

  depends_on = [aws_iam_role.snowflake_errors]
}

data "aws_iam_policy_document" "pipe_errors" {
  statement {
    sid       = "SnowflakePublishes"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.pipe_errors.arn]

    # By name: a document that refers to the role would be read anew, and the topic's policy with it, when the
    # second apply changes whom the role trusts.
    principals {
      type        = "AWS"
      identifiers = ["arn:${local.partition}:iam::${local.account}:role/${local.errors_role}"]
    }
  }
}

resource "aws_iam_role" "snowflake_errors" {
  name                 = local.errors_role
  description          = "Snowflake publishes to ${var.name}-pipe-errors, and nothing else"
  max_session_duration = 3600
  assume_role_policy   = data.aws_iam_policy_document.snowflake_trust["errors"].json
}

resource "aws_iam_role_policy" "snowflake_errors" {
  name   = "publish-errors"
  role   = aws_iam_role.snowflake_errors.id
  policy = data.aws_iam_policy_document.snowflake_errors.json
}

data "aws_iam_policy_document" "snowflake_errors" {
  statement {
    sid       = "PublishErrors"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.pipe_errors.arn]
  }

  statement {
    sid       = "ThroughTheEncryptedTopic"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.retail.arn]
  }
}
