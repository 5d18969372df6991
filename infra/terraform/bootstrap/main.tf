# Once for an account, by an administrator: where the state is kept, and the two roles of deploy.yml. Its
# own state stays with whoever applied it; README.md one folder up has the commands.

terraform {
  required_version = ">= 1.10, < 2.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 6.0"
    }
  }
}

variable "state_bucket" {
  description = "Name of the bucket for the state."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.state_bucket))
    error_message = "state_bucket must have 3 to 63 small letters, digits and hyphens, and begin and end with a letter or digit."
  }
}

variable "lake_bucket" {
  description = "bucket_name of the pipeline that will be deployed."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.lake_bucket)) && var.lake_bucket != var.state_bucket
    error_message = "lake_bucket must be the name of another bucket than state_bucket."
  }
}

variable "name" {
  description = "The pipeline's variable `name`: the roles may touch what is called so, and nothing else."
  type        = string
  nullable    = false
  default     = "retail"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,29}$", var.name))
    error_message = "name must have 2 to 30 small letters, digits and hyphens, and begin with a letter."
  }
}

variable "region" {
  description = "AWS region of the pipeline."
  type        = string
  nullable    = false
  default     = "us-east-1"

  validation {
    condition     = can(regex("^[a-z]{2}(-gov)?-[a-z]+-[1-9]$", var.region))
    error_message = "region must be the code of an AWS region, such as eu-central-1."
  }
}

variable "repository" {
  description = "owner/name on GitHub, whose workflows may deploy."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.repository))
    error_message = "repository must be owner/name, such as example/retail."
  }
}

provider "aws" {
  region = var.region
}

data "aws_caller_identity" "here" {}

data "aws_partition" "here" {}

locals {
  account   = data.aws_caller_identity.here.account_id
  arn       = "arn:${data.aws_partition.here.partition}"
  underline = replace(var.name, "-", "_")
  state     = "${local.arn}:s3:::${var.state_bucket}"
  lake      = "${local.arn}:s3:::${var.lake_bucket}"
  here      = "${var.region}:${local.account}"

  # A pull request plans, the environment `production` applies; GitHub signs which of them asks.
  subjects = {
    plan  = "repo:${var.repository}:pull_request"
    apply = "repo:${var.repository}:environment:production"
  }
  issuer = "token.actions.githubusercontent.com"

  # Everything of the pipeline bears its name, except for keys and the account's own lists.
  named = [
    "${local.arn}:athena:${local.here}:workgroup/${var.name}",
    "${local.arn}:budgets::${local.account}:budget/${var.name}-month",
    "${local.arn}:cloudwatch:${local.here}:alarm:${var.name}-*",
    "${local.arn}:events:${local.here}:rule/${var.name}-*",
    "${local.arn}:firehose:${local.here}:deliverystream/${var.name}-*",
    "${local.arn}:glue:${local.here}:catalog",
    "${local.arn}:glue:${local.here}:database/${local.underline}_bronze",
    "${local.arn}:glue:${local.here}:job/${local.underline}_glue_cleaner",
    "${local.arn}:glue:${local.here}:table/${local.underline}_bronze/*",
    "${local.arn}:glue:${local.here}:trigger/${var.name}-*",
    "${local.arn}:glue:${local.here}:workflow/${var.name}-*",
    "${local.arn}:iam::${local.account}:policy/${var.name}-*",
    "${local.arn}:iam::${local.account}:role/${var.name}-*",
    "${local.arn}:logs:${local.here}:log-group:/aws-glue/jobs/${local.underline}_glue_cleaner/*",
    "${local.arn}:logs:${local.here}:log-group:/aws/events/${var.name}-*",
    "${local.arn}:logs:${local.here}:log-group:/aws/kinesisfirehose/${var.name}-*",
    "${local.arn}:sns:${local.here}:${var.name}-*",
    "${local.arn}:sqs:${local.here}:${var.name}-*",
    local.lake,
    "${local.lake}/glue/*",
  ]
  services = ["athena", "budgets", "cloudwatch", "events", "firehose", "glue", "logs", "sns", "sqs", "s3", "iam"]
}

resource "aws_s3_bucket" "state" {
  #checkov:skip=CKV_AWS_18:Who reads the state is told by CloudTrail; a log of its own would need a bucket more.
  #checkov:skip=CKV_AWS_144:The state can be imported anew; its old versions are kept.
  #checkov:skip=CKV_AWS_145:It holds no secret: AES-256 with the key of S3 will do.
  #checkov:skip=CKV2_AWS_62:Nobody needs to hear of a new state.
  bucket = var.state_bucket
}

resource "aws_s3_bucket_public_access_block" "state" {
  bucket                  = aws_s3_bucket.state.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_versioning" "state" {
  bucket = aws_s3_bucket.state.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "state" {
  bucket = aws_s3_bucket.state.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "state" {
  bucket = aws_s3_bucket.state.id

  rule {
    id     = "old-versions"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = 365
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
  }

  depends_on = [aws_s3_bucket_versioning.state]
}

resource "aws_s3_bucket_policy" "state" {
  bucket = aws_s3_bucket.state.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "DenyPlainHttp"
      Effect    = "Deny", Action = "s3:*", Principal = "*"
      Resource  = [local.state, "${local.state}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })

  depends_on = [aws_s3_bucket_public_access_block.state]
}

resource "aws_iam_openid_connect_provider" "github" {
  url            = "https://${local.issuer}"
  client_id_list = ["sts.amazonaws.com"]
}

resource "aws_iam_role" "deploy" {
  for_each = local.subjects

  name                 = "${var.name}-deploy-${each.key}"
  description          = "deploy.yml of ${var.repository}: ${each.key}"
  max_session_duration = 3600

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = aws_iam_openid_connect_provider.github.arn }
      Condition = {
        StringEquals = {
          "${local.issuer}:aud" = "sts.amazonaws.com"
          "${local.issuer}:sub" = each.value
        }
      }
    }]
  })
}

resource "aws_iam_role_policy" "state" {
  for_each = local.subjects

  name = "state"
  role = aws_iam_role.deploy[each.key].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = local.state
      },
      {
        Effect   = "Allow"
        Action   = each.key == "plan" ? ["s3:GetObject"] : ["s3:GetObject", "s3:PutObject"]
        Resource = "${local.state}/retail-medallion/*"
      },
      # The lock is an object that goes again, also with a plan.
      {
        Effect   = "Allow"
        Action   = ["s3:PutObject", "s3:DeleteObject"]
        Resource = "${local.state}/retail-medallion/terraform.tfstate.tflock"
      },
    ]
  })
}

resource "aws_iam_role_policy" "read" {
  #checkov:skip=CKV_AWS_355:Lists and descriptions of an account have no ARN; they show no data.
  for_each = local.subjects

  name = "read"
  role = aws_iam_role.deploy[each.key].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "ReadThePipeline"
        Effect = "Allow"
        Action = concat(
          [for service in local.services : "${service}:Get*" if !contains(["budgets", "cloudwatch"], service)],
          [for service in local.services : "${service}:List*" if service != "budgets"],
          ["budgets:ViewBudget", "budgets:ListTagsForResource", "cloudwatch:DescribeAlarms", "events:DescribeRule", "firehose:DescribeDeliveryStream"],
        )
        Resource = local.named
      },
      {
        Sid    = "ReadWhatHasNoArn"
        Effect = "Allow"
        Action = [
          "cloudwatch:DescribeAlarms", "kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus",
          "kms:ListAliases", "kms:ListResourceTags", "logs:DescribeLogGroups", "logs:DescribeLogStreams",
          "logs:DescribeResourcePolicies", "sns:GetSubscriptionAttributes", "sts:GetCallerIdentity",
        ]
        Resource = "*"
      },
    ]
  })
}

# Whoever creates roles for services can, by way of such a role, do what the account can: so this role
# belongs in an account that holds the pipeline and nothing else, and a merge to main is what it is worth.
# It cannot change itself or the role that plans.
resource "aws_iam_role_policy" "write" {
  #checkov:skip=CKV_AWS_286:It creates the roles of the pipeline; the account should hold nothing else.
  #checkov:skip=CKV_AWS_287:It reads what it wrote; it creates no users and no access keys.
  #checkov:skip=CKV_AWS_288:Of the lake's objects it may touch those under glue/, which are code.
  #checkov:skip=CKV_AWS_289:It writes policies of roles that bear the pipeline's name, which is what it is for.
  #checkov:skip=CKV_AWS_290:Keys and policies of logs have no name before they exist.
  #checkov:skip=CKV_AWS_355:Keys and policies of logs have no name before they exist.
  name = "write"
  role = aws_iam_role.deploy["apply"].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "WriteThePipeline"
        Effect   = "Allow"
        Action   = [for service in local.services : "${service}:*"]
        Resource = local.named
      },
      {
        Sid    = "WriteWhatHasNoName"
        Effect = "Allow"
        Action = [
          "kms:CreateKey", "kms:CreateAlias", "kms:DeleteAlias", "kms:UpdateAlias", "kms:TagResource",
          "kms:UntagResource", "kms:EnableKeyRotation", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion",
          "kms:UpdateKeyDescription", "logs:PutResourcePolicy", "logs:DeleteResourcePolicy",
          "sns:Unsubscribe", "sns:SetSubscriptionAttributes",
        ]
        Resource = "*"
      },
      {
        Sid    = "NeverItself"
        Effect = "Deny"
        Action = [
          "iam:AttachRolePolicy", "iam:DeleteRole", "iam:DeleteRolePolicy", "iam:DetachRolePolicy",
          "iam:PutRolePolicy", "iam:UpdateAssumeRolePolicy", "iam:UpdateRole",
        ]
        Resource = "${local.arn}:iam::${local.account}:role/${var.name}-deploy-*"
      },
    ]
  })
}

output "variables" {
  description = "Variables of the repository, for deploy.yml."
  value = {
    AWS_REGION      = var.region
    TF_STATE_BUCKET = aws_s3_bucket.state.bucket
    LAKE_BUCKET     = var.lake_bucket
    AWS_PLAN_ROLE   = aws_iam_role.deploy["plan"].arn
    AWS_APPLY_ROLE  = aws_iam_role.deploy["apply"].arn
  }
}
