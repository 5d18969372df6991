# One key for what AWS's own keys cannot do: S3 and CloudWatch may not publish to a topic that is encrypted
# with the key of SNS.

locals {
  # Who sends messages through an encrypted topic or queue.
  senders = ["s3.amazonaws.com", "sns.amazonaws.com", "cloudwatch.amazonaws.com"]
}

resource "aws_kms_key" "retail" {
  description             = "Topics and queues of ${var.name}; the bucket too when bucket_encryption is aws:kms"
  enable_key_rotation     = true
  deletion_window_in_days = 30

  # In the policy of a key the resource "*" is this key alone.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AccountAdministersAndDelegates"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
        Action = [
          "kms:CancelKeyDeletion", "kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:DisableKey",
          "kms:DisableKeyRotation", "kms:EnableKey", "kms:EnableKeyRotation", "kms:Encrypt",
          "kms:GenerateDataKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListAliases",
          "kms:ListGrants", "kms:ListKeyPolicies", "kms:ListResourceTags", "kms:ListRetirableGrants",
          "kms:PutKeyPolicy", "kms:RevokeGrant", "kms:RotateKeyOnDemand", "kms:ScheduleKeyDeletion",
          "kms:TagResource", "kms:UntagResource", "kms:UpdateAlias", "kms:CreateAlias", "kms:DeleteAlias",
          "kms:UpdateKeyDescription",
        ]
        Resource = "*"
      },
      {
        Sid       = "ServicesOfThisAccountSend"
        Effect    = "Allow"
        Principal = { Service = local.senders }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = "*"
        Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
      },
      {
        Sid       = "LogsOfTheJob"
        Effect    = "Allow"
        Principal = { Service = "logs.${var.region}.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:DescribeKey"]
        Resource  = "*"
        Condition = {
          ArnLike = {
            "kms:EncryptionContext:aws:logs:arn" = [for group in concat(local.log_groups, [local.failure_log]) : "${local.log_arn}:${group}"]
          }
        }
      },
    ]
  })
}

resource "aws_kms_alias" "retail" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.retail.key_id
}
