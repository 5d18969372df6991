# What Snowflake may do. Its user and external ids are known only after its integrations exist, and those
# need the ARNs of these roles: so the first apply trusts nobody, the second one Snowflake. Only the trust
# policies change; README.md has the commands.

locals {
  external_ids = {
    integration = var.snowflake_external_id
    errors      = var.snowflake_error_external_id
  }

  # Texts, because the two statements have different shapes.
  snowflake_trust = { for role, external_id in local.external_ids : role => jsonencode({
    Version   = "2012-10-17"
    Statement = [jsondecode(external_id == "" ? local.nobody_yet : local.snowflake_with[role])]
  }) }

  nobody_yet = jsonencode({
    Sid       = "NobodyYet"
    Effect    = "Deny"
    Action    = "sts:AssumeRole"
    Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
  })

  snowflake_with = { for role, external_id in local.external_ids : role => jsonencode({
    Sid       = "SnowflakeWithItsExternalId"
    Effect    = "Allow"
    Action    = "sts:AssumeRole"
    Principal = { AWS = var.snowflake_principal_arn }
    Condition = { StringEquals = { "sts:ExternalId" = external_id } }
  }) }

  # Who reads or writes objects of a bucket under a key of our own needs the key as well.
  kms_reads = [for arn in local.uses_kms ? [aws_kms_key.retail.arn] : [] : {
    Sid      = "DecryptObjects"
    Effect   = "Allow"
    Action   = ["kms:Decrypt"]
    Resource = arn
  }]
  kms_writes = [for arn in local.uses_kms ? [aws_kms_key.retail.arn] : [] : {
    Sid      = "EncryptObjects"
    Effect   = "Allow"
    Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
    Resource = arn
  }]
  uses_kms = var.bucket_encryption == "aws:kms"
}

resource "aws_iam_role_policy" "snowflake_reads" {
  name = "read-raw-and-bronze"
  role = aws_iam_role.snowflake_integration_role.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid      = "ReadObjects"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:GetObjectVersion"]
        Resource = ["${local.bucket_arn}/raw/*", "${local.bucket_arn}/bronze/*"]
      },
      {
        Sid       = "ListTheirPrefixes"
        Effect    = "Allow"
        Action    = ["s3:ListBucket"]
        Resource  = local.bucket_arn
        Condition = { StringLike = { "s3:prefix" = ["raw/*", "bronze/*"] } }
      },
      {
        Sid      = "KnowTheRegion"
        Effect   = "Allow"
        Action   = ["s3:GetBucketLocation"]
        Resource = local.bucket_arn
      },
    ], local.kms_reads)
  })
}

# Snowpipe tells of files that it could not load.
resource "aws_sns_topic" "pipe_errors" {
  name              = "${var.name}-pipe-errors"
  display_name      = "Files that Snowpipe could not load"
  kms_master_key_id = aws_kms_key.retail.arn
}

# Without a policy of its own a topic gets one that names anybody of the account.
resource "aws_sns_topic_policy" "pipe_errors" {
  arn = aws_sns_topic.pipe_errors.arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "SnowflakePublishes"
      Effect    = "Allow"
      Principal = { AWS = aws_iam_role.snowflake_errors.arn }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.pipe_errors.arn
    }]
  })
}

resource "aws_iam_role" "snowflake_errors" {
  name                 = "${var.name}-snowflake-errors"
  description          = "Snowflake publishes to ${var.name}-pipe-errors, and nothing else"
  max_session_duration = 3600
  assume_role_policy   = local.snowflake_trust["errors"]
}

resource "aws_iam_role_policy" "snowflake_errors" {
  name = "publish-errors"
  role = aws_iam_role.snowflake_errors.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "PublishErrors"
        Effect   = "Allow"
        Action   = ["sns:Publish"]
        Resource = aws_sns_topic.pipe_errors.arn
      },
      {
        Sid      = "ThroughTheEncryptedTopic"
        Effect   = "Allow"
        Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource = aws_kms_key.retail.arn
      },
    ]
  })
}
