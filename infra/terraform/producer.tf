# For whoever sends events: attach this policy to the till's or the simulator's own role.

resource "aws_iam_policy" "producer" {
  name        = "${var.name}-producer"
  description = "Writes new objects under raw/ of ${var.bucket_name}, and nothing else"
  policy      = data.aws_iam_policy_document.producer.json
}

data "aws_iam_policy_document" "producer" {
  source_policy_documents = local.kms_writes

  statement {
    sid       = "WriteRaw"
    actions   = ["s3:PutObject"]
    resources = ["${local.bucket_arn}/raw/*"]
  }
}
