# One key for what AWS's own keys cannot do: S3 and CloudWatch may not publish to a topic that is encrypted
# with the key of SNS.

locals {
  # Who sends messages through an encrypted topic or queue.
  senders = ["s3.amazonaws.com", "sns.amazonaws.com", "cloudwatch.amazonaws.com"]

  # Who reads or writes objects of a bucket under a key of our own needs the key as well.
  uses_kms   = var.bucket_encryption == "aws:kms"
  kms_reads  = local.uses_kms ? [data.aws_iam_policy_document.kms_reads.json] : []
  kms_writes = local.uses_kms ? [data.aws_iam_policy_document.kms_writes.json] : []
}

resource "aws_kms_key" "retail" {
  description             = "Topics and queues of ${var.name}; the bucket too when bucket_encryption is aws:kms"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.key.json
}

resource "aws_kms_alias" "retail" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.retail.key_id
}

# In the policy of a key the resource "*" is this key alone.
data "aws_iam_policy_document" "key" {
  #checkov:skip=CKV_AWS_109:The resource of a key's policy is the key itself.
  #checkov:skip=CKV_AWS_111:The resource of a key's policy is the key itself.
  #checkov:skip=CKV_AWS_356:The resource of a key's policy is the key itself.
  statement {
    sid = "AccountAdministersAndDelegates"
    actions = [
      "kms:CancelKeyDeletion", "kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:DisableKey",
      "kms:DisableKeyRotation", "kms:EnableKey", "kms:EnableKeyRotation", "kms:Encrypt",
      "kms:GenerateDataKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListAliases",
      "kms:ListGrants", "kms:ListKeyPolicies", "kms:ListResourceTags", "kms:ListRetirableGrants",
      "kms:PutKeyPolicy", "kms:RevokeGrant", "kms:RotateKeyOnDemand", "kms:ScheduleKeyDeletion",
      "kms:TagResource", "kms:UntagResource", "kms:UpdateAlias", "kms:CreateAlias", "kms:DeleteAlias",
      "kms:UpdateKeyDescription",
    ]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${local.partition}:iam::${local.account}:root"]
    }
  }

  statement {
    sid       = "ServicesOfThisAccountSend"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = local.senders
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }

  statement {
    sid       = "LogsOfTheJob"
    actions   = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:DescribeKey"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["logs.${var.region}.amazonaws.com"]
    }

    condition {
      test     = "ArnLike"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values   = [for group in concat(local.log_groups, [local.failure_log]) : "${local.log_arn}:${group}"]
    }
  }
}

data "aws_iam_policy_document" "kms_reads" {
  statement {
    sid       = "DecryptObjects"
    actions   = ["kms:Decrypt"]
    resources = [aws_kms_key.retail.arn]
  }
}

data "aws_iam_policy_document" "kms_writes" {
  statement {
    sid       = "EncryptObjects"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.retail.arn]
  }
}
